"""The helper killed by SIGKILL after each of its ptrace calls in turn: the target lives and goes on, every time."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from activities import ACTIVITIES, Activity, commands_read
from attachments import attach, attached, detach
from execd.attach import attachment, helper, process
from execd.attach.attacher import Attacher
from execd.attach.helper_process import HELPER_COMMAND
from execd.attach.interpreter import Finder
from execd.attach.link import find_markers
from execd.attach.ptrace import Ptrace
from execd.attach.text import read_agent
from execd.errors import AttachTimeout
from footprint import becomes, footprint, state_letters, system_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Spawn
    from interpreters import Interpreter
    from programs import Program

DYING_HELPER = Path(__file__).parent.parent / "dying_helper.py"
VERSIONS = ("3.9", "3.11", "3.13", "3.15")
# seize, interrupt, registers, rseq, XSAVE area, signal mask, registers set, detach: less is no attach.
FEWEST_CALLS = 8
MOST_CALLS = 200
# select, pselect6 (3.9, 3.10, by the C library) and clock_nanosleep.
SLEEPING_CALLS = {"23", "270", "230"}
HELD = {"T", "t", "X", "Z"}
BACK_TIMEOUT_S = 2.0
# From the answer of an attach to what is tidied up after it.
TIDYING_S = 0.3
END_TIMEOUT_S = 20.0
# PID_MAX_LIMIT of include/linux/threads.h.
MOST_PIDS = 1 << 22


@pytest.mark.parametrize("activity", ACTIVITIES, ids=lambda activity: activity.program)
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_the_target_outlives_the_helper_whenever_that_dies(
    interpreter: Interpreter,
    spawn: Spawn,
    attacher: Attacher,
    activity: Activity,
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    # Without the argument "state" of a sleeping target: nobody would read what it says meanwhile.
    program = spawn(interpreter, activity.program, *activity.arguments[:1])
    activity.progress(program)
    deaths = die_after_each_call(program, activity)
    record_testsuite_property(f"deaths in {activity.program} on {interpreter.full_version}", deaths)
    assert deaths >= FEWEST_CALLS
    with attached(attacher, program.pid) as link:
        activity.progress(program)
        detach(link)
    activity.progress(program)
    assert program.stderr() == ""


@pytest.mark.parametrize("answered", [False, True])
def test_a_helper_whose_daemon_was_killed_ends_without_a_word(*, answered: bool) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # A PID that none has: the helper answers at once that it has ended.
    order = {"op": "attach", "pid": MOST_PIDS, "start_ticks": 1, "timeout_s": 1.0, "marker": "m", "dead_man_s": 30}
    ours.send(json.dumps({**order, "allow_seccomp": False}).encode())
    with subprocess.Popen(HELPER_COMMAND, stdin=theirs, stderr=subprocess.PIPE, text=True) as helper:
        theirs.close()
        if answered:
            assert select.select([ours], [], [], END_TIMEOUT_S)[0]
        ours.close()
        assert helper.communicate(timeout=END_TIMEOUT_S)[1] == ""
    assert helper.returncode == 0


def test_an_order_of_a_daemon_that_has_died_is_not_carried_out(local_interpreter: Interpreter, spawn: Spawn) -> None:
    """A helper that is being started when its daemon is killed finds the order in its socket."""
    program = spawn(local_interpreter, "reading")
    key = process.target_key(program.pid)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    order = {"op": "attach", "pid": key.pid, "start_ticks": key.start_ticks, "timeout_s": 1.0, "marker": "m"}
    ours.send(json.dumps({**order, "dead_man_s": 30, "allow_seccomp": False}).encode())
    ours.close()
    ptrace = CountingPtrace()
    helper.serve(theirs, attachment.Kit(Finder(), read_agent(), ptrace))
    theirs.close()
    assert ptrace.calls == 0


class CountingPtrace(Ptrace):
    """Counts the calls that are made."""

    calls = 0

    def call(self, request: int, tid: int, address: int, data: int) -> int:
        """Makes one call."""
        self.calls += 1
        return super().call(request, tid, address, data)


def die_after_each_call(program: Program, activity: Activity) -> int:
    """Attaches until a helper lives long enough, tidying up included; how many died before it."""
    dying = Attacher([sys.executable, str(DYING_HELPER)])
    try:
        for deaths in range(MOST_CALLS):
            failure = failure_of(dying, program.pid)
            if not failure and not becomes(lambda: not children(*dying.helper_pids), TIDYING_S):
                return deaths
            assert failure in ("", f"killed after call {deaths + 1}")
            require_unharmed(program, activity)
    finally:
        dying.close()
    raise AssertionError(f"no attach has come to its end within {MOST_CALLS} ptrace calls")


def children(pid: int) -> str:
    """The processes that one has started and not buried."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()


def failure_of(attacher: Attacher, pid: int) -> str:
    """Why an attach came to nothing, "" where it did not."""
    try:
        attach(attacher, pid).close()
    except AttachTimeout as error:
        return error.message
    return ""


def require_unharmed(program: Program, activity: Activity) -> None:
    """Fails where a target that a helper has left by its death does not go on with what it did."""
    assert program.alive()
    assert footprint(program.pid).tracer_pid == 0
    assert becomes(lambda: not state_letters(program.pid) & HELD, BACK_TIMEOUT_S)
    if activity.program == "sleeping":
        # Each of its wakes is looked at in the end; to wait for one here would take most of the time.
        assert becomes(lambda: system_call(program.pid) in SLEEPING_CALLS, BACK_TIMEOUT_S)
    else:
        activity.progress(program)


def test_a_helper_that_ends_before_it_reads_its_order_is_a_failed_attach(
    local_interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(local_interpreter, "reading")
    ending = Attacher(["sleep", "0.2"])
    with pytest.raises(AttachTimeout, match="ended"):
        attach(ending, program.pid)
    ending.close()
    assert commands_read(program) == 1


def test_after_the_death_of_a_helper_the_next_attach_has_another_one(
    local_interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(local_interpreter, "reading")
    attacher = Attacher()
    attacher.start()
    (dead,) = attacher.helper_pids
    os.kill(dead, signal.SIGKILL)
    assert becomes(lambda: "Z" in state_letters(dead), BACK_TIMEOUT_S)
    with attached(attacher, program.pid) as link:
        detach(link)
    assert dead not in attacher.helper_pids
    attacher.close()


def test_an_attach_that_waits_holds_up_no_other(local_interpreter: Interpreter, spawn: Spawn) -> None:
    """A second helper is started for it, and ended after."""
    held, free = spawn(local_interpreter, "holding"), spawn(local_interpreter, "reading")
    attacher = Attacher()
    attacher.start()
    held.tell("hold 2000")
    assert held.read_line() == "holding"
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(attach, attacher, held.pid)
        assert becomes(lambda: len(attacher.helper_pids) == 1 and "execd:" in markers(held.pid), BACK_TIMEOUT_S)
        with attached(attacher, free.pid) as link:
            assert not waiting.done()
            assert len(attacher.helper_pids) == 2
            detach(link)
        link = waiting.result()
        assert held.read_line() == "1"
        detach(link)
        link.close()
    assert becomes(lambda: len(attacher.helper_pids) == 1, BACK_TIMEOUT_S)
    attacher.close()


def markers(pid: int) -> str:
    """What marks a process's agent, or ""."""
    return " ".join(find_markers(pid).values())
