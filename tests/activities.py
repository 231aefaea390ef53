"""Activities: what a target does when it is attached to, and how a test sees that it goes on doing it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from footprint import becomes

if TYPE_CHECKING:
    from collections.abc import Callable

    from programs import Program

SLEEP_MS = 200
# A sleep may end late on a busy machine; one that lost its end would not end at all.
LATEST_WAKE_MS = SLEEP_MS + 600
PROGRESS_TIMEOUT_S = 10.0
# A line that had been written before is read within less.
AT_ONCE_S = 0.02


@dataclass(frozen=True, slots=True)
class Activity:
    """One thing that a main thread does.

    Attributes:
        program: the target program that does it.
        arguments: the program's.
        runs_bytecode: False where it waits in a system call without the GIL.
        progress: a number that grows from call to call, as long as the program goes on.
        state: what the program says that it holds.
    """

    program: str
    arguments: tuple[str, ...]
    runs_bytecode: bool
    progress: Callable[[Program], int]
    state: Callable[[Program], dict[str, Any]]

    def method(self) -> str:
        """How code comes to run in it: by the interpreter itself where that runs bytecode."""
        if not self.runs_bytecode:
            return "borrowed thread"
        return "pending call"


def asked_state(program: Program) -> dict[str, Any]:
    """The answer to "state"."""
    state: dict[str, Any] = program.ask_json("state")
    return state


def entered(program: Program) -> int:
    """Waits until a busy target has entered its `leaf` again; how often it has."""
    return grown(lambda: int(program.ask_json("counters")["leaf"]))


def next_tick(program: Program) -> int:
    """Waits until the loop's timer has fired; the loop is idle for most of the 50 ms that follow."""
    return grown(lambda: int(program.ask_json("ticks")))


def grown(count: Callable[[], int]) -> int:
    """Waits until a count is larger than it is now: on a busy machine a target may not run between two questions."""
    before = count()
    assert becomes(lambda: count() > before, PROGRESS_TIMEOUT_S), f"it has come to {before} and goes no further"
    return count()


def commands_read(program: Program) -> int:
    """How many commands the program has read."""
    return int(program.ask_json("count"))


def passes(program: Program) -> int:
    """Lets the main thread take its lock once more, and tells how often it has."""
    return int(program.ask_json("release"))


def next_wake(program: Program) -> int:
    """Reads the wakes that were not read yet, and waits for one more; its number."""
    while True:
        began = time.monotonic()
        number = read_wake(program)
        if time.monotonic() - began > AT_ONCE_S:
            return number


def state_at_wake(program: Program) -> dict[str, Any]:
    """What a sleeping target says of itself at the end of a sleep."""
    read_wake(program)
    state: dict[str, Any] = json.loads(program.read_line())
    return state


def read_wake(program: Program) -> int:
    """Reads the line that ends a sleep, which must have had its full length and no more."""
    while (line := program.read_line()).startswith("{"):
        pass  # a state that nobody asked for
    word, number, elapsed_ms = line.split()
    assert word == "woke"
    assert SLEEP_MS <= float(elapsed_ms) < LATEST_WAKE_MS
    return int(number)


ACTIVITIES = (
    Activity("busy", (), runs_bytecode=True, progress=entered, state=asked_state),
    Activity("sleeping", (str(SLEEP_MS), "state"), runs_bytecode=False, progress=next_wake, state=state_at_wake),
    Activity("asyncio_idle", (), runs_bytecode=False, progress=next_tick, state=asked_state),
    Activity("reading", (), runs_bytecode=False, progress=commands_read, state=asked_state),
    Activity("locked", (), runs_bytecode=False, progress=passes, state=asked_state),
)
