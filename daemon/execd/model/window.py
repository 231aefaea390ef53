"""Window: what a session of samples met in a span of time while it went on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.model.profile import Function


@dataclass(frozen=True, slots=True)
class Counts:
    """How many samples, by view: a column each, in which a row is a place."""

    wall: Sequence[int]
    cpu: Sequence[int]
    gil: Sequence[int]


@dataclass(frozen=True, slots=True)
class Rows:
    """Places that were met, a column each.

    Attributes:
        functions: their numbers.
        lines: of each the line, 0 where it is not known; empty where rows are functions.
        own: samples where a place was the innermost.
        total: samples where it was in the stack; it counts once where it recurs.
    """

    functions: Sequence[int]
    lines: Sequence[int]
    own: Counts
    total: Counts


@dataclass(frozen=True, slots=True)
class ThreadWindow:
    """A thread in a window.

    Attributes:
        native_id: the kernel's number of it, in the process's own PID namespace.
        thread_id: threading.get_ident() of it, 0 where it is not known.
        name: "" where it has none.
        states: samples, as STATES of collector.py has them.
        function, line: where it was innermost most often.
        system_call: the one that it was in most often, "" for none.
    """

    native_id: int
    thread_id: int
    name: str
    states: tuple[int, ...]
    function: int
    line: int
    system_call: str


@dataclass(frozen=True, slots=True)
class Window:
    """What was met in a span of time.

    Attributes:
        started_at, ended_at: seconds since the epoch.
        turns: how often all threads were looked at.
        states: samples, as STATES of collector.py has them.
        verified, unsettled, lost: samples whose stack was there at a second look, of which a part was not, of which
            nothing is known.
        new_functions: that no window before had; functions are numbered in this order, from 0.
        functions, lines: what was met.
        threads: by the kernel's number.
        standstill: where the process stood still at its end, why; "" where it did not.
    """

    started_at: float
    ended_at: float
    turns: int
    states: tuple[int, ...]
    verified: int
    unsettled: int
    lost: int
    new_functions: tuple[Function, ...]
    functions: Rows
    lines: Rows
    threads: tuple[ThreadWindow, ...]
    standstill: str = ""
