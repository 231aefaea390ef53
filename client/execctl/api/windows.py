"""What a session of samples meets in a window of time, while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a thread is at, in the order in which they travel: on a processor or ready for one, with the GIL and without; in
# a system call or stopped, with the GIL; waiting for it; waiting for something else.
STATES = ("running_with_gil", "running_without", "waiting_with_gil", "waiting_for_gil", "waiting")


@dataclass(frozen=True, slots=True)
class WindowPlace:
    """A function, or a line in it.

    Attributes:
        name: of the function, qualified; up to 3.10 its name alone. What is none stands in parentheses: "(unsettled)".
        filename: as the process names it, "" of what is no function.
        first_line: of the function, 0 of what is none.
        lineno: from 1; 0 for the whole function, or where it is not known.
    """

    name: str
    filename: str
    first_line: int
    lineno: int


@dataclass(frozen=True, slots=True)
class ViewCounts:
    """Samples, by view.

    Attributes:
        wall: all.
        cpu: those of threads on a processor, or ready for one.
        gil: those of threads that held the interpreter's lock.
    """

    wall: int
    cpu: int
    gil: int


@dataclass(frozen=True, slots=True)
class WindowRow:
    """A place that was met.

    Attributes:
        place: which.
        own: samples where it was the innermost; what waits in a system call counts to who made it.
        total: samples where it was in the stack; where it recurs there it counts once.
    """

    place: WindowPlace
    own: ViewCounts
    total: ViewCounts


@dataclass(frozen=True, slots=True)
class WindowThread:
    """A thread that was met.

    Attributes:
        native_id: the kernel's number, in the PID namespace of the process.
        thread_id: threading.get_ident() of it, 0 where it is not known.
        name: "" where it has none.
        states: its samples, by STATES.
        place: the line where it was innermost most often.
        system_call: the one that it was met in most often, "" for none.
    """

    native_id: int
    thread_id: int
    name: str
    states: Mapping[str, int]
    place: WindowPlace
    system_call: str


@dataclass(frozen=True, slots=True)
class SampleWindow:
    """What was met in a window of time; in the first one nothing was yet.

    Attributes:
        session: "s12" in the first, else "".
        started_at, ended_at: seconds since the epoch.
        asked_hz: how often a second all threads were to be looked at.
        turns: how often they were.
        states: samples, by STATES.
        verified: samples whose stack was there at a second look too.
        unsettled: samples of whose stack a part was not.
        lost: samples of which nothing is known.
        functions: those that were met.
        lines: likewise.
        threads: by the kernel's number.
        standstill: where the process stood still at its end, why: "process 4711 is stopped by a signal (...)"; else "".
    """

    session: str
    started_at: float
    ended_at: float
    asked_hz: float
    turns: int
    states: Mapping[str, int]
    verified: int
    unsettled: int
    lost: int
    functions: tuple[WindowRow, ...]
    lines: tuple[WindowRow, ...]
    threads: tuple[WindowThread, ...]
    standstill: str = ""
