"""Targets that are stopped by a signal or frozen by their cgroup: told, left as they are, and whole when they go on."""

from __future__ import annotations

import os
import random
import signal
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from activities import commands_read, entered
from attachments import attach, attached, detach, record_calls
from execctl.exits import ExitCode
from execd.attach import process
from execd.attach.attacher import Attacher
from execd.errors import AttachTimeout, NotPermitted
from execd.model import codec
from execd_api.v1 import sessions_pb2
from footprint import becomes, footprint, state_letters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Spawn
    from daemons import Daemon
    from interpreters import Interpreter
    from programs import Program

VERSIONS = ("3.9", "3.12", "3.15")
LINES = sessions_pb2.SessionSpec(collector="lines", options_json="{}")
RUNNING, STOPPED = sessions_pb2.SESSION_STATE_RUNNING, sessions_pb2.SESSION_STATE_STOPPED
PROGRAMS = {"busy": entered, "reading": commands_read}
FREEZER = Path("/sys/fs/cgroup/freezer")
TOO_SHORT_S = 0.3
STATE_S = 5.0
STOPS = 6
SOAK_STOPS = 200
LONGEST_PAUSE_S = 0.03


@pytest.fixture
def attacher() -> Iterator[Attacher]:
    """One of the test's own: what stops while it is held may cost it its helper process, and it starts another one."""
    own = Attacher()
    own.start()
    yield own
    own.close()


def stop(program: Program) -> None:
    """Stops it by SIGSTOP and waits until all of it is."""
    os.kill(program.pid, signal.SIGSTOP)
    assert becomes(lambda: state_letters(program.pid) == {"T"}, STATE_S)


def go_on(program: Program) -> None:
    """Sends SIGCONT."""
    os.kill(program.pid, signal.SIGCONT)


def visit(attacher: Attacher, program: Program) -> None:
    """Attaches, records and detaches."""
    with attached(attacher, program.pid) as link:
        record_calls(link)
        detach(link)


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_target_that_is_stopped_while_an_attach_waits_stays_so(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(interpreter, "holding")
    before = footprint(program.pid)
    program.tell("block")
    assert program.read_line() == "holding"
    stop(program)
    with pytest.raises(NotPermitted, match="stopped by a signal"):
        attach(attacher, program.pid)
    go_on(program)
    stopping = threading.Timer(TOO_SHORT_S / 3, os.kill, (program.pid, signal.SIGSTOP))
    stopping.start()
    with pytest.raises(AttachTimeout):
        attacher.attach(process.target_key(program.pid), TOO_SHORT_S, lambda: False)
    stopping.join()
    assert becomes(lambda: state_letters(program.pid) == {"T"}, STATE_S)
    go_on(program)
    # A byte ends the call that holds the GIL.
    program.tell("")
    assert program.read_line() == "1"
    visit(attacher, program)
    # What was queued in a stopped target can be taken back by nobody: it has run, to no effect, and left its page.
    assert becomes(lambda: replace(footprint(program.pid), pages=before.pages) == before, STATE_S)
    assert program.stderr() == ""


def stop_at_random(interpreter: Interpreter, spawn: Spawn, attacher: Attacher, name: str, stops: int) -> None:
    """Stops a target by SIGSTOP at some moment of each attach: it is attached to, or that is told."""
    program, moments = spawn(interpreter, name), random.Random(name)  # noqa: S311 -- spreads the moments, no secret
    for _ in range(stops):
        stopping = threading.Timer(moments.random() * LONGEST_PAUSE_S, os.kill, (program.pid, signal.SIGSTOP))
        stopping.start()
        with suppress(NotPermitted, AttachTimeout):
            attacher.attach(process.target_key(program.pid), TOO_SHORT_S, lambda: False).close()
        stopping.join()
        # Nobody but the sender of the SIGSTOP may have it go on.
        assert becomes(lambda: state_letters(program.pid) == {"T"}, STATE_S)
        assert footprint(program.pid).tracer_pid == 0
        go_on(program)
        PROGRAMS[name](program)
    visit(attacher, program)
    PROGRAMS[name](program)
    assert program.stderr() == ""


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_target_that_is_stopped_at_any_moment_of_an_attach_stays_so(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, name: str
) -> None:
    stop_at_random(interpreter, spawn, attacher, name, STOPS)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_target_that_is_stopped_at_any_moment_of_many_attaches_stays_so(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, name: str
) -> None:
    stop_at_random(interpreter, spawn, attacher, name, SOAK_STOPS)


def test_a_session_outlives_a_stop_of_its_target(local_interpreter: Interpreter, spawn: Spawn, daemon: Daemon) -> None:
    program = spawn(local_interpreter, "busy")
    session = daemon.record_calls(program.pid)
    stop(program)
    assert daemon.session(session.id).state == sessions_pb2.SESSION_STATE_RUNNING
    go_on(program)
    entered(program)
    daemon.detach(program.pid)
    assert daemon.session(session.id).state == sessions_pb2.SESSION_STATE_STOPPED
    assert program.stderr() == ""


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_stop_of_sessions_of_a_stopped_target_gives_up_nothing(
    interpreter: Interpreter, spawn: Spawn, daemon: Daemon
) -> None:
    program = spawn(interpreter, "busy")
    calls, lines = daemon.record_calls(program.pid, "native"), daemon.start_session(program.pid, LINES)
    entered(program)
    stop(program)
    refused = daemon.run_execctl("detach", str(program.pid))
    assert refused.returncode == ExitCode.PARTIAL_DATA
    assert f"process {program.pid} is stopped by a signal" in refused.stderr
    assert f"kill -CONT {program.pid}" in refused.stderr
    daemon.execctl("stop", calls.id)
    assert "leaf" in str(codec.decode(daemon.final_profile(calls.id)).functions)
    assert {daemon.session(one.id).state for one in (calls, lines)} == {STOPPED, RUNNING}
    go_on(program)
    daemon.execctl("detach", str(program.pid))
    assert daemon.session(lines.id).state == STOPPED
    assert sum(codec.decode(daemon.final_profile(lines.id)).column("hits")) > 0
    entered(program)
    assert program.stderr() == ""


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Keeps a process frozen by a group of its own."""
    group = FREEZER / f"execd-test-{pid}"
    group.mkdir()
    try:
        (group / "cgroup.procs").write_text(str(pid))
        freeze(group, "FROZEN")
        yield
    finally:
        freeze(group, "THAWED")
        (FREEZER / "cgroup.procs").write_text(str(pid))
        group.rmdir()


def freeze(group: Path, state: str) -> None:
    """Sets the state of a group and waits for it."""
    (group / "freezer.state").write_text(state)
    assert becomes(lambda: (group / "freezer.state").read_text().strip() == state, STATE_S)


@pytest.mark.skipif(not os.access(FREEZER, os.W_OK), reason="a freezer of cgroups version 1 that may be written to")
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_frozen_target_is_waited_for_with_that_told_and_not_thawed(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, name: str
) -> None:
    program = spawn(interpreter, name)
    before = footprint(program.pid)
    with frozen(program.pid):
        with pytest.raises(AttachTimeout, match="is frozen by its cgroup") as caught:
            attacher.attach(process.target_key(program.pid), TOO_SHORT_S, lambda: False)
        assert "thaw" in caught.value.remedy
        assert state_letters(program.pid) == {"D"}
        assert footprint(program.pid) == before
    visit(attacher, program)
    PROGRAMS[name](program)
    assert program.stderr() == ""


@pytest.mark.skipif(not os.access(FREEZER, os.W_OK), reason="a freezer of cgroups version 1 that may be written to")
def test_a_session_outlives_a_freeze_of_its_target(
    local_interpreter: Interpreter, spawn: Spawn, daemon: Daemon
) -> None:
    program = spawn(local_interpreter, "busy")
    session = daemon.record_calls(program.pid)
    with frozen(program.pid):
        assert daemon.session(session.id).state == sessions_pb2.SESSION_STATE_RUNNING
    entered(program)
    daemon.detach(program.pid)
    assert daemon.session(session.id).state == sessions_pb2.SESSION_STATE_STOPPED
    assert program.stderr() == ""
