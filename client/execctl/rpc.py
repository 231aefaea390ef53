"""The calls of the contract on one channel: a method each, messages in and out, one error type for all that fails."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import grpc
from execd_api.v1 import daemon_pb2, profiles_pb2, reports_pb2, runs_pb2, sessions_pb2, targets_pb2
from execd_api.v1.daemon_pb2_grpc import DaemonStub
from execd_api.v1.profiles_pb2_grpc import ProfilesStub
from execd_api.v1.reports_pb2_grpc import ReportsStub
from execd_api.v1.runs_pb2_grpc import RunsStub
from execd_api.v1.sessions_pb2_grpc import SessionsStub
from execd_api.v1.targets_pb2_grpc import TargetsStub

from execctl.answers import answer, stream
from execctl.api.rendering import Rendering
from execctl.failure import client_error
from execctl.interrupts import held
from execctl.library import Library
from execctl.query import Layout
from execctl.timeouts import CALL_TIMEOUT_S, LOOK_TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from execctl.query import GrowthQuery, ReportQuery, SessionSpec

Request = TypeVar("Request")
Response = TypeVar("Response")

# After so long without an answer the daemon is asked something that it answers at once, or not at all, and after as
# long again the user is told; what an attach waits for is told too.
PATIENCE_S = 1.0
# Beyond what the daemon waits for a safe point: looking at the target before it, arming collectors after.
ATTACH_MARGIN_S = 30.0
# Lists carry command lines, of 128 KiB each at worst; grpc's own limit is 4 MiB.
MAX_MESSAGE_BYTES = 64 << 20
# How long a connection may take to be made, whatever its name says: by grpc's own 20 s a daemon that is stopped for
# longer is gone.
CONNECT_MS = 3_600_000


class Rpc:
    """An open channel to one daemon, to be closed. Every method raises ClientError."""

    def __init__(self, socket: str, on_silence: Callable[[], None] = lambda: None) -> None:
        """Open a channel; nothing is sent yet.

        Args:
            socket: absolute path of the daemon's unix socket.
            on_silence: called each time that a call waits for a daemon which answers no question.
        """
        options = [
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.min_reconnect_backoff_ms", CONNECT_MS),
            ("grpc.enable_http_proxy", 0),
        ]
        self._socket = socket
        self._on_silence = on_silence
        with held():
            # The address is a URI, and grpc decodes it.
            self._channel = grpc.insecure_channel(f"unix:{quote(os.fsencode(socket))}", options=options)
            self._daemon = DaemonStub(self._channel)
            self._targets = TargetsStub(self._channel)
            self._sessions = SessionsStub(self._channel)
            self.library = Library(ProfilesStub(self._channel), self._ask)
            self._reports = ReportsStub(self._channel)
            self._runs = RunsStub(self._channel)

    def close(self) -> None:
        """Close the channel; what is called after that fails."""
        with held():
            self._channel.close()

    def list_targets(self) -> Sequence[targets_pb2.Candidate]:
        """Return the CPython processes that this user can see, by PID."""
        return self._ask(self._targets.List, targets_pb2.ListTargetsRequest(), LOOK_TIMEOUT_S).candidates

    def examine(self, target: str, *, allow_seccomp: bool) -> targets_pb2.Candidate:
        """Return one process, where it is, and every check of an attach, `allow_seccomp` among its terms."""
        request = targets_pb2.InspectRequest(target=target, every_check=True, allow_seccomp=allow_seccomp)
        return self._ask(self._targets.Inspect, request, LOOK_TIMEOUT_S)

    def dump(self, target: str, *, never_stop: bool, tasks: bool) -> targets_pb2.DumpResponse:
        """Return where the threads of a process are."""
        request = targets_pb2.DumpRequest(target=target, never_stop=never_stop, tasks=tasks)
        return self._ask(self._targets.Dump, request, LOOK_TIMEOUT_S)

    def ask_memory(
        self, target: str, action: str, *, where: str = "", limit: int = 0, confirmed: bool = False
    ) -> targets_pb2.MemoryResponse:
        """Return what a running memory session answers; it may have to look at every object of its target.

        Args:
            target: a PID, a session, a name; "" the only one that runs.
            action: "figures", "reset_peak", "clear" or "where".
            where: of that last one: a type, or "module:attribute".
            limit: of that too: how many objects.
            confirmed: of that too: also where it takes more than half a second of the target.
        """
        chosen = targets_pb2.MemoryAction.Value(f"MEMORY_ACTION_{action.upper()}")
        request = targets_pb2.MemoryRequest(target=target, action=chosen, where=where, limit=limit, confirmed=confirmed)
        return self._ask(self._targets.Memory, request)

    def attach(
        self,
        target: str,
        specs: Sequence[SessionSpec],
        *,
        timeout_ms: int,
        name: str,
        allow_seccomp: bool = False,
        duration_ms: int = 0,
        on_wait: Callable[[str], object],
    ) -> targets_pb2.AttachResponse:
        """Attach and start sessions, one group, all or none.

        Args:
            target: a PID, or a name that fits one process alone.
            specs: what to measure.
            timeout_ms: how long the target may take to reach a safe point.
            name: what to call the session, or ""; of several, each gets its collector's name added.
            allow_seccomp: attach under seccomp filters that the daemon may not read too.
            duration_ms: after which the daemon ends the session if this client does not; 0 for never.
            on_wait: called each second that it takes and the daemon is well, with where the target is, "" where
                that is not known.
        """
        request = targets_pb2.AttachRequest(
            target=target,
            sessions=_asked(specs),
            timeout_ms=timeout_ms,
            name=name,
            allow_seccomp=allow_seccomp,
            duration_ms=duration_ms,
        )
        with self._translated():
            return answer(
                lambda: self._targets.Attach.future(request, timeout=timeout_ms / 1000 + ATTACH_MARGIN_S),
                patience_s=PATIENCE_S,
                on_wait=lambda: on_wait(self._place(target)) if self._is_heard() else None,
            )

    def prepare_run(
        self,
        specs: Sequence[SessionSpec],
        name: str,
        python_version: str,
        channel: int,
        archive: int,
        python_path: bytes | None,
    ) -> runs_pb2.PrepareResponse:
        """Return what is needed to start a program that is recorded from its first line on.

        Args:
            specs: what to measure.
            name: as in `attach`.
            python_version: of its interpreter, "3.11.7".
            channel: the number under which it inherits its connection.
            archive: the number under which it inherits the archive.
            python_path: PYTHONPATH as it is, None where it is not set.
        """
        request = runs_pb2.PrepareRequest(
            sessions=_asked(specs),
            name=name,
            python_version=python_version,
            channel_descriptor=channel,
            archive_descriptor=archive,
            python_path=python_path,
        )
        return self._ask(self._runs.Prepare, request, LOOK_TIMEOUT_S)

    def run_outcome(self, token: str) -> runs_pb2.OutcomeResponse:
        """Return what came of a program that was started, and has ended."""
        return self._ask(self._runs.Outcome, runs_pb2.OutcomeRequest(token=token), LOOK_TIMEOUT_S)

    def _place(self, target: str) -> str:
        request = targets_pb2.InspectRequest(target=target)
        try:
            return answer(lambda: self._targets.Inspect.future(request, timeout=PATIENCE_S)).place
        except grpc.RpcError:
            return ""  # of a target that has just ended, or an older daemon: the attach itself tells

    def record_all(self, spec: SessionSpec, name: str) -> sessions_pb2.RecordAllResponse:
        """Sample every process of the daemon's user."""
        request = sessions_pb2.RecordAllRequest(session=_asked([spec])[0], name=name)
        return self._ask(self._sessions.RecordAll, request, LOOK_TIMEOUT_S)

    def detach(self, target: str, *, unless_used: bool = False) -> targets_pb2.DetachResponse:
        """Stop the sessions of a target and take the agent out; "" is the only attached one.

        With `unless_used` nothing is done where sessions run.
        """
        request = targets_pb2.DetachRequest(target=target, unless_used=unless_used)
        return self._ask(self._targets.Detach, request)

    def list_sessions(
        self, *, running_only: bool, limit: int, labels: Mapping[str, str] | None = None
    ) -> sessions_pb2.ListSessionsResponse:
        """Return at most `limit` sessions that have all of the labels, newest first, and such open groups."""
        request = sessions_pb2.ListSessionsRequest(running_only=running_only, limit=limit, labels=labels)
        return self._ask(self._sessions.List, request, LOOK_TIMEOUT_S)

    def start(self, target: str, specs: Sequence[SessionSpec]) -> Sequence[sessions_pb2.Session]:
        """Start sessions on a process that is attached to, one group, all or none; "" is the only such process."""
        request = sessions_pb2.StartRequest(target=target, sessions=_asked(specs))
        return self._ask(self._sessions.Start, request).sessions

    def session(self, session: str) -> sessions_pb2.Session:
        """Return one session; "" is the only running one."""
        return self._ask(self._sessions.Get, sessions_pb2.GetSessionRequest(session=session), LOOK_TIMEOUT_S)

    def overhead(self, session: str) -> sessions_pb2.OverheadResponse:
        """Return what a session costs its process; of one that has just begun some 100 ms later."""
        return self._ask(self._sessions.Overhead, sessions_pb2.OverheadRequest(session=session), LOOK_TIMEOUT_S)

    def stop(self, session: str, on_wait: Callable[[], object] = lambda: None) -> Sequence[sessions_pb2.Session]:
        """End sessions and return them as they are now; "" is the only running one.

        Args:
            session: as the user named it.
            on_wait: called each second that it takes and the daemon is well.
        """
        request = sessions_pb2.StopRequest(session=session)
        return self._ask(self._sessions.Stop, request, on_wait=on_wait).sessions

    def snapshot(self, session: str, name: str, *, confirmed: bool) -> Sequence[profiles_pb2.Profile]:
        """Store a profile of sessions that go on, and return these profiles.

        Without `confirmed` one that would hold a process up for long is refused.
        """
        request = sessions_pb2.SnapshotRequest(session=session, name=name, confirmed=confirmed)
        return self._ask(self._sessions.Snapshot, request).profiles

    def watch(self, session: str, duration_s: float) -> Generator[sessions_pb2.Session]:
        """Yield the session each time the daemon tells of it, until it ends or the duration is over.

        To be closed by who does not read to the end.
        """
        request = sessions_pb2.WatchRequest(session=session)
        try:
            # The deadline of the call is the clock: no polling here.
            yield from stream(lambda: self._sessions.Watch(request, timeout=duration_s))
        except grpc.RpcError as error:
            if not isinstance(error, grpc.Call) or error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise client_error(error, self._socket) from error

    def follow(
        self, session: str, duration_s: float | None, *, timing: bool, after: int, from_now: bool
    ) -> Generator[sessions_pb2.FollowChunk]:
        """Yield the events of a trace until it ends or the duration is over; None for no such limit.

        To be closed by who does not read to the end; who reads slowly is sent no more than he takes.
        """
        request = sessions_pb2.FollowRequest(session=session, timing=timing, after=after, from_now=from_now)
        try:
            yield from stream(lambda: self._sessions.Follow(request, timeout=duration_s))
        except grpc.RpcError as error:
            if not isinstance(error, grpc.Call) or error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise client_error(error, self._socket) from error

    def sample_windows(
        self, session: str, interval_ms: int, *, stop_at_end: bool
    ) -> Generator[sessions_pb2.SampleWindow]:
        """Yield what a session of samples meets until it ends. To be closed by who does not read to the end."""
        request = sessions_pb2.SamplesRequest(session=session, interval_ms=interval_ms, stop_at_end=stop_at_end)
        with self._translated():
            yield from stream(lambda: self._sessions.Samples(request))

    def render(self, query: ReportQuery) -> Rendering:
        """Return a rendering of a profile, all its pieces put together."""
        request = _render_request(query)
        chunks = self._read(lambda: self._reports.Render(request, timeout=CALL_TIMEOUT_S))
        return _rendering(chunks, has_files=query.files)

    def growth(self, query: GrowthQuery) -> Rendering:
        """Return what grew in every one of the latest snapshots."""
        request = reports_pb2.GrowthRequest(
            subject=query.subject,
            last=query.last,
            format=query.form,
            limit=query.limit,
            settings_json=json.dumps(dict(query.settings)) if query.settings else "",
            layout=_layout(query.layout),
        )
        return _rendering(self._read(lambda: self._reports.Growth(request, timeout=CALL_TIMEOUT_S)), has_files=False)

    def _read(self, begin: Callable[[], Iterator[reports_pb2.RenderChunk]]) -> list[reports_pb2.RenderChunk]:
        with self._translated():
            return list(stream(begin, patience_s=PATIENCE_S, on_wait=self._is_heard))

    def _ask(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout_s: float = CALL_TIMEOUT_S,
        on_wait: Callable[[], object] = lambda: None,
    ) -> Response:
        with self._translated():
            return answer(
                lambda: method.future(request, timeout=timeout_s),
                patience_s=PATIENCE_S,
                on_wait=lambda: on_wait() if self._is_heard() else None,
            )

    def _is_heard(self) -> bool:
        """Return whether the daemon answers at all, with an error too; where it does not, its silence is told."""
        try:
            answer(lambda: self._daemon.Info.future(daemon_pb2.InfoRequest(), timeout=PATIENCE_S))
        except grpc.RpcError as error:
            if isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                self._on_silence()
                return False
        return True

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise client_error(error, self._socket) from error


def _asked(specs: Sequence[SessionSpec]) -> list[sessions_pb2.SessionSpec]:
    return [
        sessions_pb2.SessionSpec(
            collector=spec.collector,
            options_json=json.dumps(spec.options),
            labels=spec.labels,
            into=spec.into,
            children=spec.children,
        )
        for spec in specs
    ]


def _rendering(chunks: Sequence[reports_pb2.RenderChunk], *, has_files: bool) -> Rendering:
    if not chunks:
        return Rendering(b"", "", ())
    profile, notes, added = chunks[0].profile, tuple(chunks[0].notes), tuple(chunks[0].added)
    if has_files:
        return Rendering(b"", profile, notes, tuple(_files(chunks)), added)
    return Rendering(b"".join(chunk.data for chunk in chunks), profile, notes, added=added)


def _files(chunks: Sequence[reports_pb2.RenderChunk]) -> Iterator[tuple[str, bytes]]:
    """Yield each file, its name and its content, from the pieces in which they came."""
    name, pieces = "", list[bytes]()
    for chunk in chunks:
        if chunk.file and name:
            yield name, b"".join(pieces)
        if chunk.file:
            name, pieces = chunk.file, []
        pieces.append(chunk.data)
    if name:
        yield name, b"".join(pieces)


def _render_request(query: ReportQuery) -> reports_pb2.RenderRequest:
    return reports_pb2.RenderRequest(
        subject=query.subject,
        format=query.form,
        sort=query.sort,
        reverse=query.reverse,
        limit=query.limit,
        view=reports_pb2.View.Value(query.view.value),
        strip_dirs=query.strip_dirs,
        thread=query.thread,
        per_thread=query.per_thread,
        per_process=query.per_process,
        process=query.process,
        compare=query.compare,
        settings_json=json.dumps(dict(query.settings)) if query.settings else "",
        files=query.files,
        added=query.added,
        layout=_layout(query.layout),
    )


def _layout(layout: Layout) -> reports_pb2.Layout | None:
    if layout == Layout():
        return None
    return reports_pb2.Layout(
        width=layout.width,
        wide=layout.is_wide,
        color=layout.has_color,
        ascii=layout.is_ascii,
        no_header=not layout.has_header,
    )
