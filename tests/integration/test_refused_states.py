"""Each state that is refused: with the right error, in time, as the checks say it too, and nothing changes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
from attachments import attach, attached, await_tidying
from execd.attach import process
from execd.attach.attacher import Attacher
from execd.attach.link import marker_name
from execd.attach.ptrace import Ptrace
from execd.errors import ExecdError
from execd.model.target import Outcome
from footprint import footprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from conftest import Spawn
    from daemons import Daemon
    from interpreters import Interpreter

VERSIONS = ("3.9", "3.12", "3.15")
WAITING = "import sys; sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.read()"
TRIES = 20
LIMIT_S = 1.0


@contextmanager
def stopped(interpreter: Interpreter, spawn: Spawn) -> Iterator[int]:
    """A process that was sent a SIGSTOP."""
    program = spawn(interpreter, "reading")
    os.kill(program.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)
    yield program.pid
    os.kill(program.pid, signal.SIGCONT)


@contextmanager
def traced(interpreter: Interpreter, spawn: Spawn) -> Iterator[int]:
    """A process that the test traces."""
    program = spawn(interpreter, "reading")
    debugger = Ptrace()
    debugger.seize(program.pid)
    yield program.pid
    debugger.stop(program.pid)
    debugger.detach(program.pid)


@contextmanager
def switched_off(interpreter: Interpreter, spawn: Spawn) -> Iterator[int]:
    """A process whose environment forbids it."""
    yield spawn(interpreter, "reading", env={"PYTHON_DISABLE_REMOTE_DEBUG": "1"}).pid


@contextmanager
def switched_off_by_option(interpreter: Interpreter, _spawn: Spawn) -> Iterator[int]:
    """A process whose command line forbids it, which 3.14 was the first to know."""
    if interpreter.version_info < (3, 14):
        pytest.skip("before 3.14 there is no such option")
    command = [*interpreter.argv, "-X", "disable-remote-debug", "-c", WAITING]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        yield program.pid
        program.kill()


@contextmanager
def taken(interpreter: Interpreter, spawn: Spawn) -> Iterator[int]:
    """A process with the agent of a daemon that lives: the test's parent is taken for it."""
    program = spawn(interpreter, "reading")
    alone = footprint(program.pid)
    with closing(Attacher()) as other:
        other.marker = marker_name(os.getuid(), os.getppid())
        with attached(other, program.pid):
            await_tidying(program.pid, alone)
            yield program.pid


@contextmanager
def full(interpreter: Interpreter, spawn: Spawn) -> Iterator[int]:
    """A process that may open no more files."""
    yield spawn(interpreter, "limited", "descriptors").pid


STATES: dict[str, tuple[Callable[[Interpreter, Spawn], AbstractContextManager[int]], str, int]] = {
    "stopped": (stopped, "stopped by a signal", 5),
    "traced": (traced, "is being traced by process", 5),
    "environment": (switched_off, "PYTHON_DISABLE_REMOTE_DEBUG", 5),
    "option": (switched_off_by_option, "remote debugging is disabled in the target", 5),
    "other agent": (taken, "agent of another daemon", 5),
    "descriptors": (full, "files open", 6),
}


def require_refused(attacher: Attacher, pid: int, message: str, exit_code: int) -> None:
    """Fails where an attach is not refused as told, in time, or changes anything; the first check says the same."""
    before, began = footprint(pid), time.monotonic()
    with pytest.raises(ExecdError, match=message) as caught:
        attach(attacher, pid)
    assert time.monotonic() - began < LIMIT_S
    checks = attacher.examine(process.target_key(pid))
    first = next(check for check in checks if check.outcome is Outcome.FAILED)
    assert (first.detail, first.exit_code) == (caught.value.message, exit_code)
    assert first.remedy == caught.value.remedy != ""
    assert footprint(pid) == before


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("interpreter", ["3.15"], indirect=True)
def test_a_state_that_is_refused(interpreter: Interpreter, spawn: Spawn, attacher: Attacher, state: str) -> None:
    put, message, exit_code = STATES[state]
    with put(interpreter, spawn) as pid:
        require_refused(attacher, pid, message, exit_code)


@pytest.mark.soak
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_state_that_is_refused_each_time(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, state: str
) -> None:
    put, message, exit_code = STATES[state]
    with put(interpreter, spawn) as pid:
        for _ in range(TRIES):
            require_refused(attacher, pid, message, exit_code)


def test_the_doctor_and_the_list_of_processes_say_why_not(
    local_interpreter: Interpreter, spawn: Spawn, daemon: Daemon
) -> None:
    with stopped(local_interpreter, spawn) as pid:
        listed = json.loads(daemon.execctl("ps", "--json"))["targets"]
        (row,) = [row for row in listed if row["pid"] == pid]
        assert row["reason"] == f"process {pid} is stopped by a signal"
    before = footprint(pid)
    record = json.loads(daemon.execctl("doctor", str(pid), "--json"))
    assert footprint(pid) == before
    assert (record["exit_code"], record["reason"], record["place"]) == (0, "", "in system call read")
    outcomes = {check["name"]: check["outcome"] for check in record["checks"]}
    assert outcomes["CPython"] == "pass"
    assert outcomes["seccomp filters"] == "not needed"
