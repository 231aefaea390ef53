"""What is seen of a process: windows of samples put together, and the rows of a table that are made of them."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from execctl.api.windows import STATES
from execctl.escape import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from execctl.api.windows import SampleWindow, ViewCounts, WindowPlace, WindowThread

# One window alone is a hundred samples a thread.
RECENT: Final = 5
RUNNING: Final = frozenset({"running_with_gil", "running_without"})
HOLDING: Final = frozenset({"running_with_gil", "waiting_with_gil"})
# Of a longer name or path the start is searched alone.
_SEARCHED: Final = 1000


class View(Enum):
    """Which samples count; the value is what is said of them."""

    CPU = "on a processor"
    WALL = "wall time, waiting too"
    GIL = "holding the GIL"


class Sort(Enum):
    """What a table is sorted by."""

    SELF = "self"
    TOTAL = "total"
    NAME = "name"


COUNTED: Final[Mapping[View, frozenset[str]]] = {View.CPU: RUNNING, View.WALL: frozenset(STATES), View.GIL: HOLDING}


@dataclass(frozen=True, slots=True)
class Display:
    """What of it the user wants to see.

    Attributes:
        view: which samples count.
        sort: of the table.
        by_line: a row is a line, else a function.
        is_whole: since the start, else the latest windows.
        is_paused: nothing new is shown.
        has_threads: the threads are shown too.
        has_help: the keys are shown instead of the table.
        pattern: what a row has in its name or place, a part of it or a regular expression; "" for all.
        typed: a pattern that is being typed, None while none is.
        first: the number of rows above the first that is shown.
    """

    view: View = View.CPU
    sort: Sort = Sort.SELF
    by_line: bool = False
    is_whole: bool = False
    is_paused: bool = False
    has_threads: bool = True
    has_help: bool = False
    pattern: str = ""
    typed: str | None = None
    first: int = 0


# What a place has itself and in all: in each of both ints the counts of the three views lie side by side, so that one
# addition adds all three. Ten thousand places come with every window.
Amount: TypeAlias = tuple[int, int]
_BITS: Final = 40
_MASK: Final = (1 << _BITS) - 1
_SHIFTS: Final[Mapping[View, int]] = {View.WALL: 0, View.CPU: _BITS, View.GIL: 2 * _BITS}


@dataclass(frozen=True, slots=True)
class Sum:
    """What several windows hold together.

    Attributes:
        span_s: how long they were.
        turns: how often all threads were looked at.
        states: samples, by the state of their thread.
        verified, unsettled, lost: as in SampleWindow.
        functions, lines: what was met, by place.
    """

    span_s: float = 0.0
    turns: int = 0
    states: Mapping[str, int] = field(default_factory=Counter)
    verified: int = 0
    unsettled: int = 0
    lost: int = 0
    functions: Mapping[WindowPlace, Amount] = field(default_factory=dict)
    lines: Mapping[WindowPlace, Amount] = field(default_factory=dict)

    def count(self, states: frozenset[str]) -> int:
        """Return how many samples there are of some states."""
        return sum(count for state, count in self.states.items() if state in states)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen until now.

    Attributes:
        asked_hz: how often a second threads are to be looked at.
        latest: the latest windows, each with its threads.
        recent: their sum.
        whole: that of all windows since the start.
        threads: those of the latest windows, each where it was last.
        standstill: why the process stands still, "" where it does not.
    """

    asked_hz: float = 0.0
    latest: tuple[tuple[Sum, tuple[WindowThread, ...]], ...] = ()
    recent: Sum = field(default_factory=Sum)
    whole: Sum = field(default_factory=Sum)
    threads: tuple[WindowThread, ...] = ()
    standstill: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table.

    Attributes:
        name: of the function, safe to show.
        where: the file and the line, safe to show; "" of what is no function.
        own, total: samples of the view.
    """

    name: str
    where: str
    own: int
    total: int


def with_window(seen: Seen, window: SampleWindow) -> Seen:
    """Return what was seen with one more window."""
    if not window.turns and not any(window.states.values()):
        return replace(seen, asked_hz=window.asked_hz, standstill=window.standstill)
    new = _sum_of(window)
    latest = (*seen.latest, (new, window.threads))
    recent = _combined(seen.recent, new, 1)
    if len(latest) > RECENT:
        recent, latest = _combined(recent, latest[0][0], -1), latest[1:]
    return Seen(
        asked_hz=window.asked_hz,
        latest=latest,
        recent=recent,
        whole=_combined(seen.whole, new, 1),
        threads=_threads((threads for _, threads in latest), recent.turns),
        standstill=window.standstill,
    )


def begun_anew(seen: Seen) -> Seen:
    """Return what was seen without all that came until now."""
    return Seen(asked_hz=seen.asked_hz)


def shown_sum(seen: Seen, display: Display) -> Sum:
    """Return the windows that are shown."""
    return seen.whole if display.is_whole else seen.recent


def rows(seen: Seen, display: Display) -> list[Row]:
    """Return the rows of the table in their order, those alone that the pattern fits."""
    shown = shown_sum(seen, display)
    chosen, shift = shown.lines if display.by_line else shown.functions, _SHIFTS[display.view]
    found = [
        Row(escape(place.name), where(place), own >> shift & _MASK, of_view)
        for place, (own, total) in chosen.items()
        if (of_view := total >> shift & _MASK)
    ]
    fits = _matcher(display.pattern if display.typed is None else display.typed)
    return sorted((row for row in found if fits(row)), key=_KEYS[display.sort])


def where(place: WindowPlace) -> str:
    """Return the file and the line of a place, safe to show."""
    return f"{escape(place.filename)}:{place.lineno or place.first_line}" if place.filename else ""


def is_running(thread: WindowThread, turns: int) -> float:
    """Return in which part of so many looks a thread was running, 0.0 to 1.0: one that has ended was in few of them."""
    return _part(sum(thread.states.get(state, 0) for state in RUNNING), turns)


def _part(count: int, turns: int) -> float:
    return min(count / turns, 1.0) if turns else 0.0


def _sum_of(window: SampleWindow) -> Sum:
    return Sum(
        span_s=max(window.ended_at - window.started_at, 0.0),
        turns=window.turns,
        states=Counter(window.states),
        verified=window.verified,
        unsettled=window.unsettled,
        lost=window.lost,
        functions={row.place: (_packed(row.own), _packed(row.total)) for row in window.functions},
        lines={row.place: (_packed(row.own), _packed(row.total)) for row in window.lines},
    )


def _packed(counts: ViewCounts) -> int:
    return counts.wall + (counts.cpu << _BITS) + (counts.gil << 2 * _BITS)


def _combined(one: Sum, other: Sum, sign: int) -> Sum:
    """Return one sum with another added to it, or taken off it where the sign is -1."""
    states = {state: one.states.get(state, 0) + sign * count for state, count in other.states.items()}
    return Sum(
        span_s=one.span_s + sign * other.span_s,
        turns=one.turns + sign * other.turns,
        states={**one.states, **states},
        verified=one.verified + sign * other.verified,
        unsettled=one.unsettled + sign * other.unsettled,
        lost=one.lost + sign * other.lost,
        functions=_with_amounts(one.functions, other.functions, sign),
        lines=_with_amounts(one.lines, other.lines, sign),
    )


def _with_amounts(
    known: Mapping[WindowPlace, Amount], others: Mapping[WindowPlace, Amount], sign: int
) -> dict[WindowPlace, Amount]:
    found = dict(known)
    for place, (own, total) in others.items():
        before = found.get(place, (0, 0))
        found[place] = before[0] + sign * own, before[1] + sign * total
        if found[place] == (0, 0):
            del found[place]
    return found


def _threads(windows: Iterable[Iterable[WindowThread]], turns: int) -> tuple[WindowThread, ...]:
    """Return the threads of some windows, of so many looks: those that run most first, of others those that last."""
    found: dict[int, WindowThread] = {}
    for threads in windows:
        for thread in threads:
            before = found.get(thread.native_id)
            states = Counter(thread.states) + Counter(before.states if before else {})
            found[thread.native_id] = replace(thread, states=states)

    def place(thread: WindowThread) -> tuple[int, int, int]:
        # By tenths, or threads that run nearly alike change places each second.
        lasting = _part(sum(thread.states.values()), turns)
        return -round(is_running(thread, turns) * 10), -round(lasting * 10), thread.native_id

    return tuple(sorted(found.values(), key=place))


def _matcher(pattern: str) -> Callable[[Row], bool]:
    """Return whether a row has a text, or what a regular expression fits; small letters stand for both."""
    if not pattern:
        return lambda _row: True
    flags = re.IGNORECASE if pattern == pattern.lower() else 0
    expressions = [re.compile(re.escape(pattern), flags)]
    # Half typed it is a text alone, until it is an expression; a warning would go to the screen.
    with suppress(re.error, RecursionError, OverflowError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expressions.append(re.compile(pattern, flags))
    return lambda row: any(one.search(f"{row.name[:_SEARCHED]} {row.where[:_SEARCHED]}") for one in expressions)


_KEYS: Final[Mapping[Sort, Callable[[Row], tuple[object, ...]]]] = {
    Sort.SELF: lambda row: (-row.own, -row.total, row.name, row.where),
    Sort.TOTAL: lambda row: (-row.total, -row.own, row.name, row.where),
    Sort.NAME: lambda row: (row.name.lower(), row.where),
}
