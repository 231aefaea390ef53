"""An attach in every state of a target: it goes on with what it did, and that comes out as it would have."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from activities import grown
from attachments import attach, detach, record_calls
from execd.attach import attachment, process
from execd.attach.injection import BORROWED, Injection
from execd.attach.interpreter import Finder
from execd.attach.link import marker_name
from execd.attach.ptrace import Ptrace
from execd.attach.text import read_agent
from footprint import becomes, footprint, settled, state_letters
from programs import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Spawn
    from execd.attach.attacher import Attacher
    from footprint import Footprint
    from interpreters import Interpreter
    from programs import ProgramFolders

QUICK_VERSIONS = ("3.9", "3.12", "3.15")
SOAK_TRIES = 20
WAIT_MS = 900
# A wait that was run again from its start would end later by all that it had behind it.
BEHIND_S = 0.5
LATE_MS = 400
STEADY_S = 0.005
SETTLE_S = 5.0

# What each wait results in when it is let, or when its time is over.
WAITS = {
    "accept": "hello",
    "poll": "hello",
    "select": "hello",
    "waitpid": "exit-7",
    "join": "hello",
    "queue": "hello",
    "simple-queue": "hello",
    "pause": "signals-1",
    "sem_wait": "hello",
    "cond_wait": "hello",
    "getaddrinfo": "192.0.2.7",
    "communicate": "hello",
    "pipe": "hello",
    "asyncio": "hello",
}
# The C library gives up after 30 s: it is not started with the others.
SHORT_WAIT = "getaddrinfo"
# Those whose time limit counts from their start come first: they are visited while they have most of it behind them.
TIMED_WAITS = {
    "poll-timed": "[]",
    "recv-timed": "timed out",
    "usleep": "0",
    "sleep": "None",
    "event-timed": "False",
    "select-timed": "([], [], [])",
    "epoll-timed": "[]",
    "queue-timed": "None",
    "sem_timedwait": "Connection",
    "asyncio-timed": "None",
}
WORKS = (
    "long-bytecode",
    "sum",
    "regex",
    "hold",
    "hold-in-worker",
    "workers-busy",
    "workers-idle",
    "sleep-workers-busy",
    "threads-idle",
    "threads-busy",
)


class Waiter:
    """A program that waits; it is asked what came of it, wait by wait."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.how, _, self.port = program.ready_text.partition(" ")

    def begin(self) -> None:
        """Lets it wait again and again."""
        self.program.tell("begin")

    def waits(self) -> bool:
        """Whether its main thread is in one and the same call for a while."""
        call = Path(f"/proc/{self.program.pid}/syscall")
        before = call.read_text()
        time.sleep(STEADY_S)
        return before == call.read_text() and not before.startswith("running")

    def let(self) -> None:
        """Ends the wait that it is in."""
        if self.how == "line":
            self.program.tell("hello")
        elif self.how == "connection":
            with socket.create_connection(("127.0.0.1", int(self.port))) as connection:
                connection.sendall(b"hello")
        elif self.how == "signal":
            os.kill(self.program.pid, signal.SIGUSR1)

    def newest_outcome(self) -> None:
        """Reads all outcomes that are there already, and waits for one more: the next wait has just begun then."""
        began = time.monotonic()
        self.outcome()
        while time.monotonic() - began < STEADY_S:
            began = time.monotonic()
            self.outcome()

    def outcome(self) -> tuple[int, float, str]:
        """The number of the next wait that ends, its length in milliseconds, and its result."""
        word, number, elapsed_ms, result = self.program.read_line().split(" ", 3)
        assert word == "waited"
        return int(number), float(elapsed_ms), result


class Programs:
    """Programs of one interpreter, one for each state, started together; what works does so when it is told."""

    def __init__(self, interpreter: Interpreter, folders: ProgramFolders, logs: Path, running: ExitStack) -> None:
        self._programs: dict[str, Program] = {}
        arguments = {state: ("waiting", state, "1") for state in {*WAITS, *TIMED_WAITS} - {SHORT_WAIT}}
        arguments |= {state: ("working", state) for state in WORKS}
        for state, (program, *rest) in arguments.items():
            command = folders.command(interpreter, program, tuple(rest))
            self._programs[state] = running.enter_context(Program(interpreter, command, logs / state, os.environ))
        for program in self._programs.values():
            program.wait_until_ready()

    def __getitem__(self, state: str) -> Program:
        """The program that is in this state, or gets there when it is told."""
        return self._programs[state]


@pytest.fixture(scope="module")
def programs(
    interpreter: Interpreter, program_folders: ProgramFolders, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Programs]:
    with ExitStack() as running:
        yield Programs(interpreter, program_folders, tmp_path_factory.mktemp("programs"), running)


def at_rest(pid: int) -> Footprint:
    """What a process looks like that may just be starting a child."""
    looks = [footprint(pid)]

    def rests() -> bool:
        looks.append(footprint(pid))
        return looks[-1] == looks[-2]

    assert becomes(rests, SETTLE_S)
    return looks[-1]


def visit(attacher: Attacher, pid: int) -> None:
    """Attaches, records for a moment, and leaves; what is outside of the program shows nothing of it afterwards."""
    before = at_rest(pid)
    link = attach(attacher, pid)
    try:
        record_calls(link)
        detach(link)
    finally:
        link.close()
    assert settled(pid, before) == before


def require_unharmed_wait(attacher: Attacher, program: Program, state: str, tries: int) -> None:
    """Fails where an attach ends a wait, or changes what comes of it."""
    waiter = Waiter(program)
    for number in range(1, tries + 1):
        assert becomes(waiter.waits, SETTLE_S)
        visit(attacher, program.pid)
        waiter.let()
        assert waiter.outcome()[::2] == (number, WAITS[state])
    assert program.stderr() == ""


def stop_and_continue(program: Program) -> None:
    """Does what a terminal, a freezer or a suspended machine does: the kernel goes on by another call with some."""
    os.kill(program.pid, signal.SIGSTOP)
    assert becomes(lambda: state_letters(program.pid) == {"T"}, SETTLE_S)
    os.kill(program.pid, signal.SIGCONT)
    assert becomes(lambda: "T" not in state_letters(program.pid), SETTLE_S)


def require_unharmed_times(
    attacher: Attacher,
    programs: dict[str, Program],
    tries: int,
    before_visit: Callable[[Program], None] = lambda _program: None,
) -> None:
    """Fails where an attach makes a wait shorter, longer, or fail. All of them wait at the same time."""
    waiters = {state: Waiter(program) for state, program in programs.items()}
    for waiter in waiters.values():
        waiter.begin()
    for _ in range(tries):
        for waiter in waiters.values():
            waiter.newest_outcome()
        time.sleep(BEHIND_S)
        for waiter in waiters.values():
            before_visit(waiter.program)
            visit(attacher, waiter.program.pid)
        for state, waiter in waiters.items():
            for _, elapsed_ms, result in (waiter.outcome(), waiter.outcome()):
                assert (state, result) == (state, TIMED_WAITS[state])
                assert WAIT_MS <= elapsed_ms < WAIT_MS + LATE_MS, state
            assert waiter.program.stderr() == ""


def require_unharmed_work(attacher: Attacher, program: Program, tries: int) -> None:
    """Fails where an attach ends the work of a program, or changes a result."""
    assert program.ask_json("begin")
    for _ in range(tries):
        visit(attacher, program.pid)
        grown(lambda: int(program.ask_json("count")[0]))
    assert program.ask_json("rest")
    assert program.ask_json("count")[1] == 0
    assert program.stderr() == ""


@pytest.mark.parametrize("interpreter", QUICK_VERSIONS, indirect=True)
@pytest.mark.parametrize("state", WAITS)
def test_a_wait_goes_on_and_ends_as_it_would_have(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, programs: Programs, state: str
) -> None:
    program = spawn(interpreter, "waiting", state, "1") if state == SHORT_WAIT else programs[state]
    require_unharmed_wait(attacher, program, state, 1)


@pytest.mark.parametrize("interpreter", ["3.12"], indirect=True)
def test_waits_with_a_time_limit_end_in_time(attacher: Attacher, programs: Programs) -> None:
    require_unharmed_times(attacher, {state: programs[state] for state in TIMED_WAITS}, 1)


@pytest.mark.parametrize("interpreter", QUICK_VERSIONS, indirect=True)
@pytest.mark.parametrize("state", ["poll", "queue", "communicate"])
def test_a_wait_that_was_stopped_before_is_attached_to_as_well(
    interpreter: Interpreter, attacher: Attacher, spawn: Spawn, state: str
) -> None:
    program = spawn(interpreter, "waiting", state, "1")
    assert becomes(Waiter(program).waits, SETTLE_S)
    stop_and_continue(program)
    require_unharmed_wait(attacher, program, state, 1)


@pytest.mark.parametrize("interpreter", QUICK_VERSIONS, indirect=True)
def test_a_wait_that_begins_while_the_text_is_queued_is_attached_to_as_well(
    interpreter: Interpreter, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = spawn(interpreter, "waiting", "poll", "1")
    assert becomes(Waiter(program).waits, SETTLE_S)
    looks = iter([False])
    look = Injection._may_wait  # noqa: SLF001 - between the look and the stop a thread may do anything
    monkeypatch.setattr(Injection, "_may_wait", lambda *arguments: next(looks, True) and look(*arguments))
    key = process.target_key(program.pid)
    order = attachment.AttachOrder(key.pid, key.start_ticks, 3.0, marker_name(os.getuid(), os.getpid()), 30)
    with attachment.attach(order, attachment.Kit(Finder(), read_agent(), Ptrace()), lambda: False) as attached:
        assert attached.method == BORROWED
    program.tell("hello")
    assert Waiter(program).outcome()[::2] == (1, "hello")


@pytest.mark.parametrize("interpreter", ["3.11"], indirect=True)
def test_waits_with_a_time_limit_that_were_stopped_before_end_in_time(
    interpreter: Interpreter, attacher: Attacher, spawn: Spawn
) -> None:
    programs = {state: spawn(interpreter, "waiting", state) for state in ("poll-timed", "event-timed", "sem_timedwait")}
    require_unharmed_times(attacher, programs, 1, stop_and_continue)


@pytest.mark.parametrize("interpreter", QUICK_VERSIONS, indirect=True)
@pytest.mark.parametrize("state", WORKS)
def test_work_goes_on_and_comes_out_right(attacher: Attacher, programs: Programs, state: str) -> None:
    require_unharmed_work(attacher, programs[state], 1)


@pytest.mark.soak
@pytest.mark.parametrize("state", WAITS)
def test_a_wait_is_unharmed_by_twenty_attaches(
    interpreter: Interpreter, attacher: Attacher, spawn: Spawn, state: str
) -> None:
    program = spawn(interpreter, "waiting", state, str(SOAK_TRIES))
    require_unharmed_wait(attacher, program, state, SOAK_TRIES)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_time_limits_are_kept_through_twenty_attaches(
    interpreter: Interpreter, attacher: Attacher, spawn: Spawn
) -> None:
    programs = {state: spawn(interpreter, "waiting", state) for state in TIMED_WAITS}
    require_unharmed_times(attacher, programs, SOAK_TRIES)


@pytest.mark.soak
@pytest.mark.parametrize("state", WORKS)
def test_work_is_unharmed_by_twenty_attaches(
    interpreter: Interpreter, attacher: Attacher, spawn: Spawn, state: str
) -> None:
    require_unharmed_work(attacher, spawn(interpreter, "working", state), SOAK_TRIES)
