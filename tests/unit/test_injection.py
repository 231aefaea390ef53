"""Chains of steps in real threads: a program that is interrupted by hundreds of them does not notice."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from execd.attach import process, x86_64
from execd.attach.interpreter import Finder
from execd.attach.memory import Memory
from execd.attach.ptrace import Ptrace
from execd.attach.stopped import CHAIN_STACK, StopClock, Stopper
from execd.errors import AttachBusy, TargetGone
from footprint import becomes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_drivers import Drivers
    from interpreters import Interpreter

GETPID, GETTID = 39, 186
INTERRUPTIONS = 200
TIMEOUT_S = 60


@contextmanager
def computing(drivers: Drivers, interpreter: Interpreter) -> Iterator[subprocess.Popen[str]]:
    """A program that computes; a child of ours, so that we may trace it under yama too."""
    command = drivers.command(interpreter, "computing", [])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        try:
            yield program
        finally:
            program.kill()


def stopper_of(pid: int) -> Stopper:
    return Stopper(pid, Ptrace(), StopClock(), process.mappings(pid))


def gadgets_of(pid: int) -> x86_64.Gadgets:
    return Finder().find(pid, process.mappings(pid)).gadgets


def test_two_hundred_chains_change_no_register_of_a_computation(drivers: Drivers, interpreter: Interpreter) -> None:
    with computing(drivers, interpreter) as program:
        stopper, gadgets = stopper_of(program.pid), gadgets_of(program.pid)
        steps = [x86_64.system_call(gadgets, number) for number in (GETPID, GETTID, GETPID)]
        done = 0
        while done < INTERRUPTIONS:
            try:
                with stopper.one(program.pid):
                    stopper.run_chain(program.pid, steps, gadgets, b"", CHAIN_STACK)
            except AttachBusy:
                continue
            done += 1
        out, _ = program.communicate("", TIMEOUT_S)
    rounds, wrong = map(int, out.split())
    assert rounds > 0
    assert wrong == 0
    assert program.returncode in (0, -9)


def test_a_chain_runs_its_steps_with_their_arguments(drivers: Drivers, local_interpreter: Interpreter) -> None:
    with computing(drivers, local_interpreter) as program:
        stopper, gadgets = stopper_of(program.pid), gadgets_of(program.pid)
        before = set(process.open_files(program.pid))
        step = x86_64.system_call(gadgets, x86_64.MEMFD_CREATE, x86_64.TEXT, 1)
        with stopper.one(program.pid):
            stopper.run_chain(program.pid, [step, step], gadgets, b"harmless\0", CHAIN_STACK)
        # The thread is through when it reads what ends it.
        made = set(process.open_files(program.pid)) - before
        while len(made) < 2:
            made = set(process.open_files(program.pid)) - before
        files = process.open_files(program.pid)
        assert [files[number] for number in sorted(made)] == ["/memfd:harmless (deleted)"] * 2


def test_without_room_on_the_stack_nothing_is_written(drivers: Drivers, local_interpreter: Interpreter) -> None:
    with computing(drivers, local_interpreter) as program:
        stopper, gadgets = stopper_of(program.pid), gadgets_of(program.pid)
        with stopper.one(program.pid):
            before = stopper.registers(program.pid)
            below = Memory(program.pid).read(before["rsp"] - 8192, 8192)
            with pytest.raises(AttachBusy, match="stack left"):
                stopper.run_chain(program.pid, [x86_64.system_call(gadgets, GETPID)], gadgets, b"", 1 << 50)
            assert stopper.registers(program.pid) == before
            assert Memory(program.pid).read(before["rsp"] - 8192, 8192) == below


def test_holding_all_threads_lets_all_of_them_go(drivers: Drivers, local_interpreter: Interpreter) -> None:
    with computing(drivers, local_interpreter) as program:
        stopper = stopper_of(program.pid)
        for _ in range(20):
            with stopper.all() as held:
                assert held[0] == program.pid
                assert process.status(program.pid).state == "t"
        assert process.status(program.pid).tracer_pid == 0
        out, _ = program.communicate("", TIMEOUT_S)
    assert out.split()[1] == "0"


def test_a_thread_that_an_error_reaches_while_it_is_held_is_let_go(
    drivers: Drivers, local_interpreter: Interpreter
) -> None:
    with computing(drivers, local_interpreter) as program:
        stopper = stopper_of(program.pid)
        with pytest.raises(ZeroDivisionError), stopper.one(program.pid):
            _ = 1 // 0
        assert process.status(program.pid).tracer_pid == 0
        assert process.status(program.pid).state in "RS"


def test_a_process_that_ended_is_a_target_gone() -> None:
    with subprocess.Popen(["sleep", "60"]) as program:
        stopper = stopper_of(program.pid)
        program.kill()
    with pytest.raises(TargetGone), stopper.one(program.pid):
        pytest.fail("it was held")


def test_a_process_that_is_stopped_already_is_left_so(drivers: Drivers, local_interpreter: Interpreter) -> None:
    with computing(drivers, local_interpreter) as program:
        stopper = stopper_of(program.pid)
        os.kill(program.pid, 19)
        os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)
        with pytest.raises(AttachBusy, match="job control"), stopper.one(program.pid):
            pytest.fail("it was held")
        # Let go of, it takes a moment to stop for its signal again.
        assert becomes(lambda: process.status(program.pid).state == "T", TIMEOUT_S)
        os.kill(program.pid, 18)
