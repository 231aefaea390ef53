"""execd.rpc: calls over a real socket, to a registry and a store that only note what they were asked."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from execd import __version__, reports
from execd.config import Config
from execd.errors import NotFound, TargetGone
from execd.model.session import SessionSpec
from execd.reports import growth
from execd.rpc import peer, server
from execd.rpc.address import address
from execd.rpc.chunks import MAX_BYTES
from execd.sessions import archive
from execd_api.v1 import (
    daemon_pb2,
    daemon_pb2_grpc,
    profiles_pb2,
    profiles_pb2_grpc,
    reports_pb2,
    reports_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
    targets_pb2,
    targets_pb2_grpc,
)
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rpc_fakes import EARLIER, STORED, WAIT_S, FakeRegistry, FakeStore, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from execd.model.profile import Profile
    from execd.model.stored import StoredProfile

WATCHES_FOREVER = """
import sys, grpc
from execd_api.v1 import sessions_pb2, sessions_pb2_grpc
with grpc.insecure_channel(sys.argv[1]) as channel:
    list(sessions_pb2_grpc.SessionsStub(channel).Watch(sessions_pb2.WatchRequest(session="forever")))
"""


@dataclass
class Daemon:
    """A server in this process and a channel to it."""

    registry: FakeRegistry
    store: FakeStore
    shutdowns: list[str]
    config: Config
    server: server.Server
    channel: grpc.Channel

    @property
    def targets(self) -> targets_pb2_grpc.TargetsStub:
        return targets_pb2_grpc.TargetsStub(self.channel)

    @property
    def sessions(self) -> sessions_pb2_grpc.SessionsStub:
        return sessions_pb2_grpc.SessionsStub(self.channel)

    @property
    def profiles(self) -> profiles_pb2_grpc.ProfilesStub:
        return profiles_pb2_grpc.ProfilesStub(self.channel)

    @property
    def reports(self) -> reports_pb2_grpc.ReportsStub:
        return reports_pb2_grpc.ReportsStub(self.channel)


@contextmanager
def serving(root: Path) -> Iterator[Daemon]:
    config = Config(root / "data", root / "a b%20c#d")
    registry, store, shutdowns = FakeRegistry(), FakeStore(), []
    made = server.Server(
        config,
        registry,  # type: ignore[arg-type]
        store,  # type: ignore[arg-type]
        started_at=12.5,
        shut_down=lambda: shutdowns.append("asked"),
        log=logging.getLogger("execd"),
    )
    made.start()
    with grpc.insecure_channel(address(config.socket)) as channel:
        yield Daemon(registry, store, shutdowns, config, made, channel)
    made.close()


@pytest.fixture
def root() -> Iterator[Path]:
    # pytest's own directories have paths that are too long for a socket.
    made = Path(tempfile.mkdtemp(prefix="ex"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def daemon(root: Path) -> Iterator[Daemon]:
    with serving(root) as made:
        yield made


def failure(call: Callable[[], object]) -> tuple[grpc.StatusCode, daemon_pb2.ErrorDetail]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    metadata = {entry.key: entry.value for entry in caught.value.trailing_metadata()}
    return caught.value.code(), daemon_pb2.ErrorDetail.FromString(metadata["execd-error-bin"])


def test_the_socket_is_for_its_user_alone_whatever_its_name(daemon: Daemon) -> None:
    assert daemon.config.socket.stat().st_mode & 0o777 == 0o600


def test_a_peer_reads_what_the_daemon_is_and_holds(daemon: Daemon) -> None:
    info = peer.info(daemon.config.socket, WAIT_S)
    assert info is not None
    assert (info.version, info.started_at) == (__version__, 12.5)
    assert (info.data_dir, info.socket) == (str(daemon.config.data_dir), str(daemon.config.socket))
    assert (info.attached_targets, info.running_sessions) == (2, 3)
    assert (info.stored_profiles, info.store_bytes) == (5, 6000)


def test_a_daemon_that_is_about_to_end_does_not_count_as_serving(daemon: Daemon) -> None:
    daemon.server.refuse()
    assert peer.serving(daemon.config.socket, 0.1) is None


def test_nobody_serves_where_there_is_no_socket(tmp_path: Path) -> None:
    assert peer.serving(tmp_path / "none", 0.1) is None


def test_health_is_told_by_the_standard_service(daemon: Daemon) -> None:
    answer = health_pb2_grpc.HealthStub(daemon.channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_shutdown_answers_and_asks_for_the_end(daemon: Daemon) -> None:
    answer = daemon_pb2_grpc.DaemonStub(daemon.channel).Shutdown(daemon_pb2.ShutdownRequest())
    assert (answer.stopped_sessions, daemon.shutdowns) == (3, ["asked"])


def test_attach_passes_target_specs_name_and_timeout(daemon: Daemon) -> None:
    specs = [sessions_pb2.SessionSpec(collector="calls", options_json='{"builtins": false}')]
    answer = daemon.targets.Attach(
        targets_pb2.AttachRequest(target="4711", sessions=specs, name="nightly", timeout_ms=1500, duration_ms=30_000)
    )
    assert daemon.registry.durations_s == [30.0]
    assert daemon.registry.asked == [("4711", [SessionSpec("calls", {"builtins": False})], "nightly", 1.5)]
    assert (answer.joined, answer.attach_us, answer.stopped_us) == (True, 20_000, 300)
    assert (answer.method, answer.sessions[0].id) == ("pending call", "s1")


def test_attach_waits_ten_seconds_where_the_client_says_nothing(daemon: Daemon) -> None:
    daemon.targets.Attach(targets_pb2.AttachRequest(target="4711"))
    assert daemon.registry.asked == [("4711", [], "", 10.0)]


def test_an_attach_is_cancelled_when_its_client_goes_away(daemon: Daemon) -> None:
    call = daemon.targets.Attach.future(targets_pb2.AttachRequest(target="never"))
    wait_until(lambda: daemon.registry.asked == ["never"])
    call.cancel()
    assert daemon.registry.gone.get(timeout=WAIT_S) == "attach"


def test_detach_tells_what_stays(daemon: Daemon) -> None:
    answer = daemon.targets.Detach(targets_pb2.DetachRequest(target="4711"))
    assert (answer.was_attached, list(answer.residue)) == (True, ["one inert stub"])


def test_hostile_command_lines_arrive_as_text(daemon: Daemon) -> None:
    answer = daemon.targets.List(targets_pb2.ListTargetsRequest())
    assert list(answer.candidates[0].target.command_line) == ["python", r"\xff"]


def test_inspect_tells_why_not_and_where_it_is(daemon: Daemon) -> None:
    found = daemon.targets.Inspect(targets_pb2.InspectRequest(target="4711"))
    assert (found.reason, found.place, len(found.checks)) == ("stopped", "in system call read", 0)


def test_inspect_tells_every_check_where_it_is_asked_to(daemon: Daemon) -> None:
    request = targets_pb2.InspectRequest(target="4711", every_check=True, allow_seccomp=True)
    (check,) = daemon.targets.Inspect(request).checks
    assert daemon.registry.asked == [("4711", True, True)]
    assert (check.name, check.outcome, check.exit_code) == ("alive", targets_pb2.OUTCOME_FAILED, 5)
    assert (check.detail, check.remedy) == ("stopped \\xff", "run it")


@pytest.mark.parametrize("allowed", [False, True])
def test_attach_passes_on_whether_filters_are_allowed(daemon: Daemon, *, allowed: bool) -> None:
    daemon.targets.Attach(targets_pb2.AttachRequest(target="4711", allow_seccomp=allowed))
    assert daemon.registry.allowed_seccomp == [allowed]


def test_sessions_are_started_stopped_and_read(daemon: Daemon) -> None:
    specs = [sessions_pb2.SessionSpec(collector="calls")]
    assert daemon.sessions.Start(sessions_pb2.StartRequest(target="1", sessions=specs)).sessions[0].id == "s1"
    assert daemon.sessions.Stop(sessions_pb2.StopRequest(session="s1")).sessions[0].id == "s1"
    assert daemon.sessions.Get(sessions_pb2.GetSessionRequest(session="s2")).id == "s1"
    assert daemon.registry.asked == [("1", [SessionSpec("calls")]), "s1", "s2"]


def test_a_list_without_limit_is_of_a_hundred(daemon: Daemon) -> None:
    listed = daemon.sessions.List(sessions_pb2.ListSessionsRequest(running_only=True))
    (group,) = listed.open_groups
    assert (group.id, group.name, group.spec.collector, group.started_at) == ("g3", "nightly", "calls", 7.0)
    daemon.sessions.List(sessions_pb2.ListSessionsRequest(limit=7))
    assert daemon.registry.asked == [(True, 100), (False, 7)]


@pytest.mark.parametrize("confirmed", [False, True])
def test_a_snapshot_passes_its_name_and_whether_it_may_take_long(daemon: Daemon, confirmed: bool) -> None:  # noqa: FBT001 - a case
    answer = daemon.sessions.Snapshot(sessions_pb2.SnapshotRequest(session="s1", name="base", confirmed=confirmed))
    assert (daemon.registry.asked, answer.profiles[0].id) == ([("s1", "base", confirmed)], "p1")


def test_a_watch_ends_with_its_session(daemon: Daemon) -> None:
    assert [change.id for change in daemon.sessions.Watch(sessions_pb2.WatchRequest(session="s1"))] == ["s1"]


def test_a_watch_ends_when_its_client_goes_away(daemon: Daemon) -> None:
    changes = daemon.sessions.Watch(sessions_pb2.WatchRequest(session="forever"))
    next(changes)
    changes.cancel()
    assert daemon.registry.gone.get(timeout=WAIT_S) == "watch"


def test_a_watch_ends_when_its_client_is_stopped(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setattr(server, "KEEPALIVE_MS", 300)
    monkeypatch.setattr(server, "KEEPALIVE_TIMEOUT_MS", 300)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with serving(root) as daemon:
        command = [sys.executable, "-c", WATCHES_FOREVER, address(daemon.config.socket)]
        with subprocess.Popen(command, env=environ) as client:
            wait_until(lambda: daemon.registry.asked == ["forever"])
            client.send_signal(signal.SIGSTOP)
            try:
                assert daemon.registry.gone.get(timeout=WAIT_S) == "watch"
            finally:
                client.kill()


def test_streams_are_bounded_and_leave_threads_to_other_calls(daemon: Daemon) -> None:
    request = sessions_pb2.WatchRequest(session="forever")
    watches = [daemon.sessions.Watch(request) for _ in range(server.MAX_STREAMS)]
    for watch in watches:
        next(watch)
    code, detail = failure(lambda: next(daemon.sessions.Watch(request)))
    assert (code, detail.kind) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "too_many_streams")
    assert daemon.sessions.Get(sessions_pb2.GetSessionRequest(session="s1"), timeout=WAIT_S).id == "s1"
    for watch in watches:
        watch.cancel()


def test_streams_that_ended_make_room(daemon: Daemon) -> None:
    for _ in range(server.MAX_STREAMS + 1):
        assert len(list(daemon.sessions.Watch(sessions_pb2.WatchRequest(session="s1")))) == 1


def test_streams_that_were_cut_make_room(daemon: Daemon) -> None:
    for _ in range(server.MAX_STREAMS + 1):
        watch = daemon.sessions.Watch(sessions_pb2.WatchRequest(session="forever"))
        next(watch)
        watch.cancel()
        daemon.registry.gone.get(timeout=WAIT_S)


def test_a_profile_travels_in_chunks(daemon: Daemon) -> None:
    daemon.store.data = bytes(range(256)) * 5000
    pieces = [piece.data for piece in daemon.profiles.Get(profiles_pb2.GetProfileRequest(profile="p1"))]
    assert b"".join(pieces) == daemon.store.data
    assert max(map(len, pieces)) == MAX_BYTES


def test_profiles_are_listed_and_deleted(daemon: Daemon) -> None:
    listed = daemon.profiles.List(profiles_pb2.ListProfilesRequest(session="s1", limit=1))
    assert [profile.id for profile in listed.profiles] == ["p1"]
    assert daemon.profiles.Delete(profiles_pb2.DeleteProfileRequest(profile="p1")).profile.id == "p1"


def test_an_unknown_profile_is_not_found_in_a_stream_too(daemon: Daemon) -> None:
    code, detail = failure(lambda: list(daemon.profiles.Get(profiles_pb2.GetProfileRequest(profile="p9"))))
    assert (code, detail.kind, detail.exit_code) == (grpc.StatusCode.NOT_FOUND, "not_found", 9)
    assert dict(detail.facts) == {"profile": "p9"}


def test_a_report_says_which_profile_it_is_of(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def render(
        profile: Profile,
        form: str,
        options: reports.ReportOptions,
        earlier: Profile | None,
        *parts: tuple[Profile, ...],
    ) -> bytes:
        assert parts == ((), ())
        asked.append((profile.header.caveats[1], earlier and earlier.header.caveats[1], form, options.reverse))
        return bytes(MAX_BYTES + 1)

    monkeypatch.setattr(reports, "render", render)
    request = reports_pb2.RenderRequest(subject="s1", format="pprof", compare="prev", reverse=True)
    first, last = daemon.reports.Render(request)
    assert asked == [("p1", "p0", "pprof", True)]
    assert daemon.registry.asked == ["s1", ("p1", "prev")]
    assert (first.profile, list(first.notes), len(first.data)) == ("p1", ["since attach", "p1"], MAX_BYTES)
    assert (last.profile, list(last.notes), len(last.data)) == ("", [], 1)


def test_growth_is_rendered_of_the_snapshots_there_are(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def series(_store: object, *words: object) -> list[StoredProfile]:
        asked.append(words)
        return [EARLIER, STORED]

    def render(profiles: Iterator[Profile], form: str, options: reports.ReportOptions, limit: int) -> bytes:
        asked.append(([profile.header.caveats[1] for profile in profiles], form, dict(options.settings), limit))
        return b"grown"

    monkeypatch.setattr(archive, "series", series)
    monkeypatch.setattr(growth, "render", render)
    request = reports_pb2.GrowthRequest(
        subject="s1", last=3, format="text", limit=5, settings_json='{"by": "traceback"}'
    )
    (only,) = daemon.reports.Growth(request)
    assert asked == [("s1", 3, ("memory",)), (["p0", "p1"], "text", {"by": "traceback"}, 5)]
    assert (only.data, only.profile, list(only.notes)) == (b"grown", "p1", ["there are 2 snapshots, and not 3"])


@pytest.mark.parametrize("last", [0, 1, 1001])
def test_growth_in_too_few_or_too_many_snapshots_is_refused(daemon: Daemon, last: int) -> None:
    code, detail = failure(lambda: list(daemon.reports.Growth(reports_pb2.GrowthRequest(last=last))))
    assert (code, detail.kind) == (grpc.StatusCode.INVALID_ARGUMENT, "usage")


def test_an_error_arrives_with_its_facts(daemon: Daemon) -> None:
    daemon.registry.error = TargetGone("PID 7 ended", remedy="start it again", pid=7)
    code, detail = failure(lambda: daemon.targets.Inspect(targets_pb2.InspectRequest(target="7")))
    assert code is grpc.StatusCode.NOT_FOUND
    assert (detail.kind, detail.message, detail.remedy) == ("target_gone", "PID 7 ended", "start it again")
    assert (dict(detail.facts), detail.exit_code) == ({"pid": "7"}, 4)


def test_an_error_in_the_midst_of_a_stream_comes_after_what_was_sent(daemon: Daemon) -> None:
    changes = daemon.sessions.Watch(sessions_pb2.WatchRequest(session="breaks"))
    assert next(changes).id == "s1"
    code, detail = failure(lambda: next(changes))
    assert (code, detail.kind) == (grpc.StatusCode.NOT_FOUND, "target_gone")


def test_an_error_that_is_as_big_as_a_process_table_still_arrives(daemon: Daemon) -> None:
    facts = {f"candidate{number}": "python " + "\udcff" * 4000 for number in range(200)}
    daemon.registry.error = NotFound("ü" * 50_000, remedy="\x1b" * 50_000, **facts)
    code, detail = failure(lambda: daemon.targets.Inspect(targets_pb2.InspectRequest(target="7")))
    assert (code, detail.kind) == (grpc.StatusCode.NOT_FOUND, "not_found")


def test_a_defect_is_logged_and_tells_the_client_nothing(daemon: Daemon, caplog: pytest.LogCaptureFixture) -> None:
    daemon.registry.error = ZeroDivisionError("secret")
    code, detail = failure(lambda: daemon.targets.Inspect(targets_pb2.InspectRequest(target="7")))
    assert (code, detail.kind, detail.exit_code) == (grpc.StatusCode.INTERNAL, "internal", 10)
    assert "secret" not in str(detail)
    assert "ZeroDivisionError: secret" in caplog.text


def test_options_that_do_not_parse_are_a_usage_error(daemon: Daemon) -> None:
    specs = [sessions_pb2.SessionSpec(collector="calls", options_json="{")]
    code, detail = failure(lambda: daemon.targets.Attach(targets_pb2.AttachRequest(sessions=specs)))
    assert (code, detail.exit_code) == (grpc.StatusCode.INVALID_ARGUMENT, 2)


def test_a_request_of_unreasonable_size_is_refused(daemon: Daemon) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        daemon.targets.Inspect(targets_pb2.InspectRequest(target="x" * (server.MAX_REQUEST_BYTES + 1)))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert daemon.registry.asked == []


def test_the_socket_is_gone_after_the_close(daemon: Daemon) -> None:
    daemon.server.close()
    assert not daemon.config.socket.exists()
