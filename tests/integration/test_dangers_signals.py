"""Signals of the target's own while it is attached to: each has its effect, once and at once, with nothing of ours."""

from __future__ import annotations

import os
import random
import signal
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from attachments import attached, detach, record_calls
from execd.attach import late_signals, process, x86_64
from execd.attach.interpreter import Finder
from execd.attach.ptrace import Ptrace
from execd.attach.stopped import CHAIN_STACK, StopClock, Stopper
from execd.errors import AttachTimeout
from footprint import becomes, system_call

if TYPE_CHECKING:
    from conftest import Spawn
    from execd.attach.attacher import Attacher
    from interpreters import Interpreter
    from programs import Program

VERSIONS = ("3.9", "3.12", "3.15")
# The calls that a main thread waits in; bytecode needs no wait.
WAITS = {"sleep": {"23", "270", "230"}, "select": {"23", "270"}, "read": {"0"}, "work": set[str]()}
ATTACHES = 15
SOAK_ATTACHES = 200
# A handler that raises a thousand times a second does so in every second attach before the text has been compiled.
STORM_US, STORM_ATTACHES = "1000", 8
# A signal has its effect within microseconds; one that waits for the end of the call has none.
EFFECT_S = 5.0
# An attach lends the main thread twice within some ten milliseconds.
PAUSE_S = 0.002
NANOSLEEP = 35
# struct timespec of 20 ms: a chain that is still at it when the signal comes.
CHAIN_LASTS = struct.pack("<qq", 0, 20_000_000)


class Sender(threading.Thread):
    """Sends a program one signal after the other, the next one when the last one had its effect.

    And not before the program waits: what comes between its last look and its call waits without an attach too.
    """

    def __init__(self, program: Program, number: signal.Signals, calls: set[str]) -> None:
        super().__init__()
        self.program, self.number, self.calls = program, number, calls
        self.sent = 0
        self.answers: list[str] = []
        self._ending = threading.Event()
        self._random = random.Random(number)  # noqa: S311 -- spreads the moments, no secret

    def run(self) -> None:
        """Goes on until it is told to end, or a signal has no effect in time."""
        while not self._ending.wait(self._random.random() * PAUSE_S):
            if self.calls and system_call(self.program.pid) not in self.calls:
                continue
            self.sent += 1
            # To the whole group, as a terminal does it.
            os.killpg(self.program.pid, self.number)
            self.answers.append(self.program.read_line(EFFECT_S))
            if self.answers[-1] != str(self.sent):
                return

    def end(self) -> None:
        """Ends it, and requires that each signal had its effect."""
        self._ending.set()
        self.join()
        assert self.answers == [str(number + 1) for number in range(self.sent)], self.answers[-1:]


def require_each_signal_to_arrive(
    program: Program, attacher: Attacher, number: signal.Signals, calls: set[str], attaches: int
) -> None:
    """Attaches and detaches while signals come; where handlers return, every second time recording calls."""
    assert program.read_line() == "0"
    sender = Sender(program, number, calls)
    sender.start()
    try:
        for turn in range(attaches):
            with attached(attacher, program.pid) as link:
                if turn % 2 and number == signal.SIGUSR1:
                    record_calls(link)
                detach(link)
    finally:
        sender.end()
    assert sender.sent > attaches
    assert program.stderr() == ""


@pytest.mark.parametrize("wait", ["sleep", "work"])
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_signal_that_comes_at_any_moment_of_an_attach_has_its_effect_at_once(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, wait: str
) -> None:
    program = spawn(interpreter, "signalled", wait)
    require_each_signal_to_arrive(program, attacher, signal.SIGUSR1, WAITS[wait], ATTACHES)


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGINT])
@pytest.mark.parametrize("interpreter", ["3.9", "3.12"], indirect=True)
def test_an_exception_of_a_handler_surfaces_where_it_would_have_without_us(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, number: signal.Signals
) -> None:
    """From 3.14 a call that a signal ends runs the script of a debugger first, and the handler within that."""
    program = spawn(interpreter, "signalled", "sleep")
    require_each_signal_to_arrive(program, attacher, number, WAITS["sleep"], ATTACHES)


@pytest.mark.parametrize("interpreter", ["3.12", "3.14", "3.15"], indirect=True)
def test_of_handlers_that_raise_a_thousand_times_a_second_none_is_lost(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(interpreter, "raising", STORM_US)
    attaches = 0
    for _ in range(STORM_ATTACHES):
        # On a busy machine the storm leaves it no time to come to a safe point: that is told, and nothing is lost.
        with suppress(AttachTimeout), attached(attacher, program.pid) as link:
            attaches += 1
            detach(link)
    assert attaches > 0

    def all_caught() -> bool:
        counters = program.ask_json("counters")
        return bool(counters["raised"] == counters["caught"] > 0)

    assert becomes(all_caught, EFFECT_S)
    assert program.stderr() == ""


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT])
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_signal_that_came_during_a_chain_of_the_main_thread_is_handed_on(
    interpreter: Interpreter, spawn: Spawn, number: signal.Signals
) -> None:
    program = spawn(interpreter, "signalled", "sleep")
    assert program.read_line() == "0"
    assert becomes(lambda: system_call(program.pid) in WAITS["sleep"], EFFECT_S)
    mappings = process.mappings(program.pid)
    found = Finder().find(program.pid, mappings)
    stopper = Stopper(program.pid, Ptrace(), StopClock(), mappings)
    sleeps = x86_64.system_call(found.gadgets, NANOSLEEP, x86_64.TEXT, 0)
    with stopper.one(program.pid):
        stopper.run_chain(program.pid, [sleeps], found.gadgets, CHAIN_LASTS, CHAIN_STACK)
        os.kill(program.pid, number)
    late_signals.hand_on(stopper, found)
    assert program.read_line(EFFECT_S) == "1"


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("wait", WAITS)
def test_no_signal_is_lost_in_any_wait(interpreter: Interpreter, spawn: Spawn, attacher: Attacher, wait: str) -> None:
    program = spawn(interpreter, "signalled", wait)
    require_each_signal_to_arrive(program, attacher, signal.SIGUSR1, WAITS[wait], SOAK_ATTACHES)


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_children_that_end_by_the_hundred_are_all_reaped(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    """SIGCHLD and the signal of a timer every few milliseconds, with handlers in Python."""
    program = spawn(interpreter, "reaping")
    for turn in range(ATTACHES):
        with attached(attacher, program.pid) as link:
            if turn % 2:
                record_calls(link)
            detach(link)
    ticks = program.ask_json("results")["ticks"]
    results = program.ask_json("end")
    assert results["ticks"] > ticks
    assert results["reaped"] == results["started"] > ATTACHES
    assert program.stderr() == ""
