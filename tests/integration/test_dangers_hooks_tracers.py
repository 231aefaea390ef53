"""A tracer by ptrace, as strace is one, before an attach and during a session: refused by name, and no hindrance."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Self

import pytest
from agent_drivers import PID, by_name
from attachments import REQUEST_TIMEOUT_S, attach, attached, detach, record_calls
from call_trees import header
from execd.attach.ptrace import Ptrace
from execd.attach.table import read_table
from execd.errors import NotPermitted, TargetGone
from footprint import becomes, footprint, settled, thread_ids

if TYPE_CHECKING:
    from conftest import Spawn
    from execd.attach.attacher import Attacher
    from footprint import Footprint
    from interpreters import Interpreter
    from programs import Program

VERSIONS = ("3.9", "3.12", "3.15")
TRIES = 20
SETTLE_S = 3.0
# include/uapi/linux/ptrace.h and wait.h. Of a system call's stop the signal number has the highest bit set.
SEIZE, SYSCALL, INTERRUPT, DETACH = 0x4206, 24, 0x4207, 17
TRACE_SYSCALLS_APART = 1
SYSCALL_STOP = signal.SIGTRAP | 0x80
ALL_OF_THIS_THREAD = 0x40000000 | 0x20000000
# How long the tracer waits for the next stop before it looks whether it is to end.
LOOK_S = 0.001


class Tracer(threading.Thread):
    """Stops every thread of a process at each of its system calls, and lets it go on.

    Attributes:
        calls: how many stops at system calls there were.
    """

    def __init__(self, pid: int) -> None:
        super().__init__()
        self.calls = 0
        self._pid = pid
        self._seized = threading.Event()
        self._ended = threading.Event()
        # By the ptrace calls of one thread of ours, which is this one.
        self._ptrace = Ptrace()
        self._traced: set[int] = set()

    def __enter__(self) -> Self:
        self.start()
        self._seized.wait()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        """Traces until it is told to end."""
        for tid in thread_ids(self._pid):
            self._ptrace.call(SEIZE, tid, 0, TRACE_SYSCALLS_APART)
            self._ptrace.call(INTERRUPT, tid, 0, 0)
            self._traced.add(tid)
        self._seized.set()
        while not self._ended.is_set():
            if not self._pass_on(SYSCALL):
                self._ended.wait(LOOK_S)
        for tid in self._traced:
            self._call(INTERRUPT, tid, 0)
        while self._traced:
            if not self._pass_on(DETACH):
                self._ended.wait(LOOK_S)

    def _pass_on(self, request: int) -> bool:
        """Lets one stopped thread go on, with its signal if it has one. Returns False where none is stopped."""
        tid, status = os.waitpid(-1, ALL_OF_THIS_THREAD | os.WNOHANG) if self._traced else (0, 0)
        if tid == 0:
            return False
        if not os.WIFSTOPPED(status):
            self._traced.discard(tid)
            return True
        number = os.WSTOPSIG(status)
        self.calls += number == SYSCALL_STOP
        if request == DETACH:
            self._traced.discard(tid)
        self._call(request, tid, 0 if status >> 16 or number == SYSCALL_STOP else number)
        return True

    def _call(self, request: int, tid: int, number: int) -> None:
        """A request for a thread that may have ended."""
        try:
            self._ptrace.call(request, tid, 0, number)
        except TargetGone:
            self._traced = self._traced & set(thread_ids(self._pid))


def started(interpreter: Interpreter, spawn: Spawn) -> tuple[Program, Footprint]:
    """A program and what it looks like."""
    program = spawn(interpreter, "reading")
    # The first pass may load what later ones need.
    program.ask("work 1")
    return program, footprint(program.pid)


def refuse(interpreter: Interpreter, spawn: Spawn, attacher: Attacher) -> None:
    """Attaches to a target that is traced, and to the same when it is not any more."""
    program, before = started(interpreter, spawn)
    with Tracer(program.pid):
        with pytest.raises(NotPermitted, match=f"is being traced by process {os.getpid()} ") as caught:
            attach(attacher, program.pid)
        assert f"(PID {os.getpid()})" in caught.value.remedy
        assert footprint(program.pid).descriptors == before.descriptors
        program.ask("work 1")
    with attached(attacher, program.pid) as link:
        detach(link)
    require_as_before(program, before)


def trace_while_attached(interpreter: Interpreter, spawn: Spawn, attacher: Attacher) -> None:
    """Traces a target while it is recorded and left."""
    program, before = started(interpreter, spawn)
    with attached(attacher, program.pid) as link:
        record_calls(link)
        with Tracer(program.pid) as tracer:
            program.ask("work 1")
            reply = link.channel.request("stop", timeout_s=REQUEST_TIMEOUT_S, session="c1")
            detach(link)
            assert becomes(lambda: thread_ids(program.pid) == list(before.threads), SETTLE_S)
            assert footprint(program.pid).descriptors == before.descriptors
        assert tracer.calls > 0
    assert by_name(read_table(reply.bulk, header(), PID))["run"].calls == 1
    require_as_before(program, before)


def require_as_before(program: Program, before: Footprint) -> None:
    """Fails where a target is not what it was, or does not go on."""
    assert settled(program.pid, before) == before
    program.ask("work 1")
    assert program.stderr() == ""


CASES = {"before": refuse, "during": trace_while_attached}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_tracer_is_told_of_before_an_attach_and_no_hindrance_after_it(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, case: str
) -> None:
    CASES[case](interpreter, spawn, attacher)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES)
def test_a_tracer_is_told_of_and_no_hindrance_each_time(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, case: str
) -> None:
    for _ in range(TRIES):
        CASES[case](interpreter, spawn, attacher)
