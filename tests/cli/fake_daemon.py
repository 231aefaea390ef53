"""A daemon that answers from a script: the services of the contract on a unix socket; notes what it is asked.

As a program (`python fake_daemon.py SOCKET`) it serves until it is killed, and says "serving" when it does.
"""

# ruff: noqa: N802 - the calls have the names of the contract, which documents them

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import grpc
from execd_api.v1 import daemon_pb2, profiles_pb2, reports_pb2, sessions_pb2, targets_pb2
from execd_api.v1.profiles_pb2_grpc import ProfilesServicer, add_ProfilesServicer_to_server
from execd_api.v1.reports_pb2_grpc import ReportsServicer, add_ReportsServicer_to_server
from execd_api.v1.sessions_pb2_grpc import SessionsServicer, add_SessionsServicer_to_server
from execd_api.v1.targets_pb2_grpc import TargetsServicer, add_TargetsServicer_to_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

RUNNING = sessions_pb2.SESSION_STATE_RUNNING
STOPPED = sessions_pb2.SESSION_STATE_STOPPED
# ESC, a carriage return, a line end, a mark that turns the direction of writing, DEL, the C1 form of ESC [.
HOSTILE = "evil\x1b[2J\r\nname\u202e\x7f\x9b"
FOLLOWED = (
    sessions_pb2.FollowChunk(session="s1"),
    sessions_pb2.FollowChunk(text=" --- modulename: a, funcname: f\na.py(1): x = 1\n", end=2),
    sessions_pb2.FollowChunk(text=" --- lost: 5 events\na.py(2): y\x1b[2J\n", end=8, lost=5),
)
REPORT = b"         6 function calls in 0.010 seconds\n"


def make_target(pid: int = 4711, *argv: str) -> targets_pb2.Target:
    """Return a target as the daemon tells of it."""
    return targets_pb2.Target(
        pid=pid,
        start_ticks=99,
        boot_id="b",
        uid=1000,
        command_line=argv or ("python", "server.py"),
        executable="/usr/bin/python3.11",
        python_version="3.11.7",
    )


def make_session(**changes: Any) -> sessions_pb2.Session:
    """Return a session that runs, with some fields as given."""
    fields = {
        "id": "s1",
        "group": "g1",
        "pid": 4711,
        "command_line": ["python", "server.py"],
        "python_version": "3.11.7",
        "spec": sessions_pb2.SessionSpec(collector="calls", options_json='{"builtins": true}'),
        "form": "python",
        "state": RUNNING,
        "started_at": 1_700_000_000.0,
    }
    return sessions_pb2.Session(**(fields | changes))


def make_profile(**changes: Any) -> profiles_pb2.Profile:
    """Return a stored profile, with some fields as given."""
    fields = {
        "id": "p7",
        "session": "s1",
        "collector": "calls",
        "reason": "snapshot",
        "started_at": 1_700_000_000.0,
        "ended_at": 1_700_000_002.5,
        "nodes": 12,
        "stored_bytes": 345,
        "pid": 4711,
    }
    return profiles_pb2.Profile(**(fields | changes))


@dataclass(frozen=True)
class RawDetail:
    """An error detail as bytes, which need not be one."""

    data: bytes


@dataclass
class Script:
    """What the daemon answers, by "Service.Call", and what it was asked; an ErrorDetail fails the call."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, Message]] = field(default_factory=list)
    # Attach waits for it, so that a test can make a target slow.
    attachable: threading.Event = field(default_factory=threading.Event)

    def answer(self, call: str, request: Message, context: grpc.ServicerContext, default: Any) -> Any:
        """Note the request and return what the script says, or the default."""
        self.asked.append((call, request))
        found = self.answers.get(call, default)
        answer = found(request) if callable(found) else found
        if isinstance(answer, daemon_pb2.ErrorDetail):
            answer = RawDetail(answer.SerializeToString())
        if isinstance(answer, RawDetail):
            context.set_trailing_metadata((("execd-error-bin", answer.data),))
            context.abort(grpc.StatusCode.UNKNOWN, "see the detail")
        if isinstance(answer, grpc.StatusCode):
            context.abort(answer, "no detail")
        return answer

    def calls(self) -> list[str]:
        """Return the calls in their order."""
        return [call for call, _ in self.asked]

    def request(self, call: str) -> Any:
        """Return the one request of a call."""
        (found,) = [request for name, request in self.asked if name == call]
        return found


class Targets(TargetsServicer):
    """The service Targets, from a script."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def List(self, request: Any, context: Any) -> Any:
        candidate = targets_pb2.Candidate(target=make_target(), user="www")
        default = targets_pb2.ListTargetsResponse(candidates=[candidate])
        return self._script.answer("Targets.List", request, context, default)

    def Inspect(self, request: Any, context: Any) -> Any:
        default = targets_pb2.Candidate(target=make_target(), user="www", place="in system call read")
        return self._script.answer("Targets.Inspect", request, context, default)

    def Dump(self, request: Any, context: Any) -> Any:
        return self._script.answer("Targets.Dump", request, context, targets_pb2.DumpResponse(target=make_target()))

    def Attach(self, request: Any, context: Any) -> Any:
        default = targets_pb2.AttachResponse(
            target=make_target(),
            sessions=[make_session(name=request.name)],
            attach_us=14_200,
            stopped_us=400,
            method="pending call",
        )
        answer = self._script.answer("Targets.Attach", request, context, default)
        self._script.attachable.wait(10)
        return answer

    def Detach(self, request: Any, context: Any) -> Any:
        default = targets_pb2.DetachResponse(
            target=make_target(), was_attached=True, residue=["one inert at-fork stub"]
        )
        return self._script.answer("Targets.Detach", request, context, default)


class Sessions(SessionsServicer):
    """The service Sessions, from a script."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def List(self, request: Any, context: Any) -> Any:
        default = sessions_pb2.ListSessionsResponse(sessions=[make_session()])
        return self._script.answer("Sessions.List", request, context, default)

    def Stop(self, request: Any, context: Any) -> Any:
        ended = make_session(state=STOPPED, ended_at=1_700_000_003.0, latest_profile="p7")
        return self._script.answer("Sessions.Stop", request, context, sessions_pb2.StopResponse(sessions=[ended]))

    def Overhead(self, request: Any, context: Any) -> Any:
        return self._script.answer("Sessions.Overhead", request, context, sessions_pb2.OverheadResponse())

    def Snapshot(self, request: Any, context: Any) -> Any:
        default = sessions_pb2.SnapshotResponse(profiles=[make_profile(name=request.name)])
        return self._script.answer("Sessions.Snapshot", request, context, default)

    def Watch(self, request: Any, context: Any) -> Iterator[sessions_pb2.Session]:
        yield from self._script.answer("Sessions.Watch", request, context, [make_session()])
        if "Sessions.Watch" not in self._script.answers:
            ended = threading.Event()
            context.add_callback(ended.set)
            ended.wait(30)

    def Follow(self, request: Any, context: Any) -> Iterator[sessions_pb2.FollowChunk]:
        for one in self._script.answer("Sessions.Follow", request, context, FOLLOWED):
            if isinstance(one, grpc.StatusCode):
                context.abort(one, "the connection broke")
            yield one


class Profiles(ProfilesServicer):
    """The service Profiles, from a script."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def List(self, request: Any, context: Any) -> Any:
        default = profiles_pb2.ListProfilesResponse(profiles=[make_profile()])
        return self._script.answer("Profiles.List", request, context, default)

    def Merge(self, request: Any, context: Any) -> Any:
        parts = [make_profile(id=f"p{number}") for number, _ in enumerate(request.subjects, 1)]
        merged = make_profile(id="p9", name=request.name, reason="merged", pid=0)
        default = profiles_pb2.MergeResponse(profile=merged, parts=parts)
        return self._script.answer("Profiles.Merge", request, context, default)

    def Rename(self, request: Any, context: Any) -> Any:
        default = profiles_pb2.RenameResponse(id="p7", name=request.name)
        return self._script.answer("Profiles.Rename", request, context, default)

    def Label(self, request: Any, context: Any) -> Any:
        default = profiles_pb2.LabelResponse(id="s1", labels=request.labels)
        return self._script.answer("Profiles.Label", request, context, default)

    def Delete(self, request: Any, context: Any) -> Any:
        default = profiles_pb2.DeleteProfileResponse(profile=make_profile(id=request.profile))
        return self._script.answer("Profiles.Delete", request, context, default)

    def Import(self, request_iterator: Any, context: Any) -> Any:
        # As one chunk a file, which is what a test looks at.
        files: list[profiles_pb2.ImportChunk] = []
        for piece in request_iterator:
            if piece.file:
                files.append(piece)
            else:
                files[-1].data += piece.data
        profiles = [make_profile(id=f"p{number}", name=one.file, pid=0) for number, one in enumerate(files, 1)]
        for one in files:
            answer = self._script.answer(
                "Profiles.Import", one, context, profiles_pb2.ImportResponse(profiles=profiles)
            )
        return answer


class Reports(ReportsServicer):
    """The service Reports, from a script."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def Render(self, request: Any, context: Any) -> Iterator[reports_pb2.RenderChunk]:
        data = self._script.answer("Reports.Render", request, context, REPORT)
        if request.files:
            yield reports_pb2.RenderChunk(profile="p7", notes=["since attach"])
            yield from data
            return
        # A cut in the middle, so that a character of several bytes may fall on two pieces.
        half = len(data) // 2
        yield reports_pb2.RenderChunk(data=data[:half], profile="p7", notes=["since attach"])
        yield reports_pb2.RenderChunk(data=data[half:])

    def Growth(self, request: Any, context: Any) -> Iterator[reports_pb2.RenderChunk]:
        data = self._script.answer("Reports.Growth", request, context, REPORT)
        yield reports_pb2.RenderChunk(data=data, profile="p7")


class FakeDaemon:
    """A server on a unix socket; a context manager."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.script = Script()
        self.script.attachable.set()
        self._server = grpc.server(ThreadPoolExecutor(4))
        add_TargetsServicer_to_server(Targets(self.script), self._server)
        add_SessionsServicer_to_server(Sessions(self.script), self._server)
        add_ProfilesServicer_to_server(Profiles(self.script), self._server)
        add_ReportsServicer_to_server(Reports(self.script), self._server)

    def __enter__(self) -> Self:
        self._server.add_insecure_port(f"unix:{quote(str(self.socket))}")
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(grace=0).wait()


def error_detail(kind: str, exit_code: int, **changes: Any) -> daemon_pb2.ErrorDetail:
    """Return an error as the daemon sends it."""
    fields = {"message": f"this is {kind}", "remedy": f"do something about {kind}"}
    return daemon_pb2.ErrorDetail(kind=kind, exit_code=exit_code, **(fields | changes))


def serve_until_killed(socket: Path) -> None:
    """Serve, and say so on stdout once it does."""
    with FakeDaemon(socket):
        os.write(sys.stdout.fileno(), b"serving\n")
        signal.pause()


if __name__ == "__main__":
    serve_until_killed(Path(sys.argv[1]))
