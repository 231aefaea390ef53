"""A wait that is run again: what of its time is left, and since when a thread has been waiting."""

from __future__ import annotations

import subprocess
import time

import pytest
from execd.attach import waiting, x86_64
from footprint import becomes, system_call

POLL, NANOSLEEP, CLOCK_NANOSLEEP, READ = 7, 35, 230, 0
RESTART = (1 << 64) - 516
MILLISECOND_NS = 1_000_000
FOREVER = (1 << 32) - 1
STARTS_S = 5.0
SLEEPING_CALLS = {"35", "230"}


def interrupted(call: int, **values: int) -> x86_64.Registers:
    """The registers of a thread that a stop found in a system call."""
    nothing = x86_64.Registers.unpack(bytes(27 * 8))
    return nothing.but(orig_rax=call, rax=RESTART, **values)


@pytest.mark.parametrize(("limit", "passed", "left"), [(300, 200, 100), (300, 0, 300), (300, 400, 0), (0, 5, 0)])
def test_a_poll_waits_for_the_rest_of_its_time(limit: int, passed: int, left: int) -> None:
    registers = interrupted(POLL, rdx=limit)
    assert registers.with_poll_time_left(passed * MILLISECOND_NS)["rdx"] == left


def test_a_poll_without_a_limit_and_other_calls_stay_as_they_are() -> None:
    for registers in (interrupted(POLL, rdx=FOREVER), interrupted(READ, rdx=300)):
        assert registers.with_poll_time_left(200 * MILLISECOND_NS) == registers


def test_the_time_of_a_sleep_lies_where_the_call_takes_it_and_an_absolute_one_is_left() -> None:
    assert interrupted(NANOSLEEP).timespec_register == "rdi"
    assert interrupted(CLOCK_NANOSLEEP, rsi=0).timespec_register == "rdx"
    assert interrupted(CLOCK_NANOSLEEP, rsi=1).timespec_register == ""
    assert interrupted(POLL).timespec_register == ""


def test_the_begin_of_a_sleep_is_told_and_never_earlier_than_it_was() -> None:
    before = time.monotonic_ns()
    with subprocess.Popen(["sleep", "60"]) as program:
        assert becomes(lambda: system_call(program.pid) in SLEEPING_CALLS, STARTS_S)
        after = time.monotonic_ns()
        began = waiting.began_ns(program.pid, program.pid)
        program.kill()
    assert began is not None
    # What the scheduler noted is read with its own clock's grain.
    assert before < began < after + 5 * MILLISECOND_NS


def test_of_a_thread_that_waits_for_no_time_nothing_is_told() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as program:
        assert becomes(lambda: system_call(program.pid) == "0", STARTS_S)
        assert waiting.began_ns(program.pid, program.pid) is None
        program.kill()
