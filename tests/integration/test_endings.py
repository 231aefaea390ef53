"""Ends that nobody asked for: of the daemon, of the target; what is left of a recording, and in the target."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attachments import attached, record_calls
from daemons import Daemon
from execd.attach.attacher import Attacher
from execd.store.store import Store
from execd_api.v1 import sessions_pb2
from footprint import Footprint, becomes, footprint, settled, status_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Spawn
    from interpreters import Interpreter
    from programs import Program

VERSIONS = ("3.9", "3.11", "3.12", "3.15")
WORKERS = 3
# How soon a target is as before when its daemon is gone.
DISARM_S = 1.0
TARGET_GONE_S = 2.0
DAEMON_END_S = 5.0
CHECKPOINTED_S = 15.0


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """One of the test's own, which may end it."""
    with Daemon() as running:
        yield running


def hooks(program: Program) -> dict[str, Any]:
    """What can measure in a target: the tools, and the functions of its threads."""
    state = program.ask_json("state")
    functions = program.ask_json("hooks")
    return {**{name: state[name] for name in ("tools", "profile", "trace", "filters")}, "of threads": functions}


def require_as_before(program: Program, before: Footprint, hooks_before: dict[str, Any]) -> None:
    """Fails where a target is not disarmed in time, or does not work."""
    assert settled(program.pid, before, DISARM_S) == before
    assert hooks(program) == hooks_before
    assert [answer["calls"] for answer in program.ask_json("run 10")] == [10, 20, 30]
    assert program.stderr() == ""


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_targets_of_a_killed_daemon_disarm_themselves(interpreter: Interpreter, spawn: Spawn, daemon: Daemon) -> None:
    program = spawn(interpreter, "threads", str(WORKERS))
    hooks_before = hooks(program)
    before = footprint(program.pid)
    daemon.record_calls(program.pid)
    program.ask("run 10")
    assert hooks(program) != hooks_before, "the test sees nothing of an armed target"
    daemon.kill()
    require_as_before(program, before, hooks_before)


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_targets_of_a_stopped_daemon_disarm_themselves_when_it_has_been_silent_for_too_long(
    interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(interpreter, "threads", str(WORKERS))
    hooks_before = hooks(program)
    before = footprint(program.pid)
    attacher = Attacher(dead_man_s=1)
    # The channel stays open all the time, as that of a process that was stopped does.
    with attached(attacher, program.pid) as link:
        record_calls(link)
        program.ask("run 10")
        assert hooks(program) != hooks_before
        silent_since = time.monotonic()
        assert becomes(lambda: footprint(program.pid) == before, 1 + DISARM_S)
        assert time.monotonic() - silent_since > 0.5
        require_as_before(program, before, hooks_before)
    attacher.close()


def test_after_the_death_of_a_daemon_the_next_one_knows_every_session_and_shows_the_last_checkpoint(
    local_interpreter: Interpreter, spawn: Spawn, daemon: Daemon
) -> None:
    program = spawn(local_interpreter, "busy")
    recorded = daemon.record_calls(program.pid)
    stored = daemon.checkpoint(recorded.id)
    acknowledged = daemon.record_calls(spawn(local_interpreter, "reading").pid)
    daemon.kill()
    daemon.start()
    for session in (recorded, acknowledged):
        assert daemon.session(session.id).state == sessions_pb2.SESSION_STATE_INTERRUPTED
    report = daemon.report(recorded.id)
    assert report["profile"]["ended_at"] == pytest.approx(stored.ended_at)
    calls = {row["name"]: row["calls"] for row in report["functions"]}
    assert calls["leaf"] > 0
    assert calls["leaf"] == pytest.approx(4 * calls["middle"], abs=4)
    # The target can be attached to again: by another daemon, the first one's mark notwithstanding.
    assert not daemon.attach(program.pid).joined


def test_a_session_on_a_killed_target_ends_as_gone_with_what_the_last_checkpoint_held(
    local_interpreter: Interpreter, spawn: Spawn, daemon: Daemon
) -> None:
    program = spawn(local_interpreter, "busy")
    session = daemon.record_calls(program.pid)
    stored = daemon.checkpoint(session.id)
    program.kill()
    killed_at = time.monotonic()
    ended = daemon.ended(session.id)
    assert time.monotonic() - killed_at < TARGET_GONE_S
    assert ended.state == sessions_pb2.SESSION_STATE_TARGET_GONE
    assert str(program.pid) in ended.reason
    assert daemon.report(session.id)["profile"]["ended_at"] >= stored.ended_at
    assert {row["name"] for row in daemon.report(session.id)["functions"]} >= {"outer", "middle", "leaf"}


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_sigterm_stops_and_saves_the_sessions_and_leaves_the_targets(
    interpreter: Interpreter, spawn: Spawn, daemon: Daemon
) -> None:
    program = spawn(interpreter, "threads", str(WORKERS))
    hooks_before = hooks(program)
    before = footprint(program.pid)
    session = daemon.record_calls(program.pid)
    program.ask("run 10")
    told_at = time.monotonic()
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(DAEMON_END_S) == 0
    assert time.monotonic() - told_at < DAEMON_END_S
    require_as_before(program, before, hooks_before)
    store = Store.open(daemon.data_dir)
    try:
        saved = store.session(session.id)
        assert saved.state.value == "stopped"
        assert store.stored(saved.latest_profile).reason == "final"
    finally:
        store.close()


def test_the_helper_of_a_killed_daemon_ends(daemon: Daemon) -> None:
    pid = daemon.process.pid
    helpers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert helpers
    daemon.kill()
    assert becomes(lambda: not any(map(runs, helpers)), DISARM_S)


def runs(pid: str) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return status_fields(f"/proc/{pid}/status")["State"][0] != "Z"
    except FileNotFoundError:
        return False


def test_a_session_outlives_a_long_call_that_keeps_the_gil(
    local_interpreter: Interpreter, spawn: Spawn, daemon: Daemon
) -> None:
    held, other = spawn(local_interpreter, "holding"), spawn(local_interpreter, "busy")
    session, beside = daemon.record_calls(held.pid), daemon.record_calls(other.pid)
    held.tell("hold 4000")
    assert held.read_line() == "holding"
    # The other target is looked after meanwhile: twice at least within these seconds.
    before = daemon.session(beside.id).latest_profile
    assert becomes(lambda: daemon.session(beside.id).latest_profile != before, CHECKPOINTED_S)
    assert held.read_line() == "1"
    assert daemon.session(session.id).state == sessions_pb2.SESSION_STATE_RUNNING
    daemon.detach(held.pid)
    assert daemon.session(session.id).state == sessions_pb2.SESSION_STATE_STOPPED
