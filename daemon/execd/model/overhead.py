"""What recording calls costs a program: events times their prices, of the CPU time that it uses; and whom to leave out.

A price is how much longer a program runs for a call of its kind, the interpreter's dispatch included; the agent
measures it in the process (execd_agent/collectors/prices.py). The overhead is what is added, of what the program would
take without.
"""

from __future__ import annotations

import math
from dataclasses import asdict, astuple, dataclass, fields, replace
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.model.profile import Header

# In Header.extra: what was switched off, an object each.
SWITCHED_OFF: Final = "switched_off"
_MOST_PRICE_NS: Final = 1e9
_MOST_SLOWER: Final = 100.0
_MOST_COUNT: Final = 1 << 63
# Prices are estimates: what is added never comes to all that a program uses. The share is 11 by then, above any limit.
_MOST_ADDED: Final = 11 / 12
# By itself a call takes so much of what one in the agent's loop does, or more.
_LEAST_OF_CALL: Final = 0.75
_OF_EVENTS: Final = ("python", "resumed", "c", "method", "uncounted")
# Fewer handlers that were timed, by chance, say nothing.
_ENOUGH_TIMED: Final = 200
# Measured: benchmarks/bench_overhead.py.
_USUALLY_DEARER: Final = 1.15
# A program that mostly waits. More it is where a thread just got its processor, and its own work is as cold by then.
_MOST_DEARER: Final = 4.0
# Beside the program's other work a function may be above the limit by itself: by so much it is short all the same.
_SHORT: Final = 2.0
_MOST_DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class Prices:
    """How much longer a program runs for each, ns.

    Attributes:
        python: a call of a Python function; resumed: one of a generator.
        c: a call of a C function; method: of a method of a type written in C.
        uncounted: an event of no counted call.
        slower: how many times as long instructions take that are no calls.
        timed: what a handler took that was timed where these were measured, 0 where none was.
        call: what a call of a Python function takes by itself, 0 where that is not told.
    """

    python: float
    resumed: float
    c: float = 0.0
    method: float = 0.0
    uncounted: float = 0.0
    slower: float = 1.0
    timed: float = 0.0
    call: float = 0.0

    @classmethod
    def read(cls, said: object) -> Self | None:
        """Return the prices that an agent tells, None where these are none."""
        if not isinstance(said, dict) or not {"python", "resumed"} <= said.keys():
            return None
        known = {"method": said.get("c", 0.0), **{one.name: said[one.name] for one in fields(cls) if one.name in said}}
        if any(type(value) not in (int, float) or not 0 <= value <= _MOST_PRICE_NS for value in known.values()):
            return None
        known["slower"] = min(max(known.get("slower", 1.0), 1.0), _MOST_SLOWER)
        return cls(**known)

    def times(self, factor: float) -> Self:
        """Return the prices where events cost so many times as much."""
        of_events = {name: getattr(self, name) * factor for name in _OF_EVENTS}
        return replace(self, **of_events)


@dataclass(frozen=True, slots=True)
class Counts:
    """What was recorded until an instant, or between two.

    Attributes:
        python, resumed, c, method: calls by the kinds of Prices.
        uncounted: events of no counted call.
        python_ns: the time of Python functions by themselves, 0 where that is not told.
        c_ns: that of C functions which do not wait, as far as is known.
        timed, timed_ns: handlers that were timed, and what they took.
    """

    python: int = 0
    resumed: int = 0
    c: int = 0
    method: int = 0
    uncounted: int = 0
    python_ns: int = 0
    c_ns: int = 0
    timed: int = 0
    timed_ns: int = 0

    @classmethod
    def read(cls, said: object) -> Self | None:
        """Return the counts that an agent tells, None where these are none."""
        if not isinstance(said, dict):
            return None
        values = [said.get(one.name, 0) for one in fields(cls)]
        return cls(*values) if all(type(one) is int and 0 <= one < _MOST_COUNT for one in values) else None

    @property
    def events(self) -> int:
        """How many events there were."""
        return 2 * (self.python + self.resumed + self.c + self.method) + self.uncounted

    def since(self, earlier: Counts) -> Counts:
        """Return what came after others."""
        return Counts(*(max(now - then, 0) for now, then in zip(astuple(self), astuple(earlier), strict=True)))


@dataclass(frozen=True, slots=True)
class Look:
    """What a recording had come to at an instant.

    Attributes:
        at_s: on time.monotonic().
        cpu_ns: of the process.
        counts: of the recording.
        recorded: the share of the time that was recorded by then of late, 1.0 without time slices.
    """

    at_s: float
    cpu_ns: int
    counts: Counts
    recorded: float = 1.0


@dataclass(frozen=True, slots=True)
class Overhead:
    """What recording cost between two looks.

    Attributes:
        span_s: between them.
        events_per_s: that there were.
        event_ns: what one cost on the mean, 0.0 where that is not known.
        share: what is added, of the CPU time that the process would take without; None where that is not known.
        cpu_ns: what the process has taken.
        added_ns: what is added of it.
        recorded: the share of the time that is recorded, 1.0 without time slices.
        dearer: how many times as much events cost as where their prices were measured.
        busy: the share of the recorded time in which its threads had a processor.
    """

    span_s: float
    events_per_s: float
    event_ns: float = 0.0
    share: float | None = None
    cpu_ns: int = 0
    added_ns: float = 0.0
    recorded: float = 1.0
    dearer: float = 1.0
    busy: float = 1.0


def overhead_between(earlier: Look, later: Look, prices: Prices | None, of_late: Look | None = None) -> Overhead | None:
    """Return what recording cost between two looks, None where no time has gone.

    Args:
        earlier: the first look.
        later: the last one.
        prices: None where they are not known.
        of_late: a look before these, since when handlers that were timed tell how dear events are; few are, and one of
            some is held up.
    """
    span_s, cpu_ns = later.at_s - earlier.at_s, max(later.cpu_ns - earlier.cpu_ns, 0)
    if span_s <= 0:
        return None
    counts = later.counts.since(earlier.counts)
    if prices is None:
        return Overhead(span_s, counts.events / span_s, recorded=later.recorded)
    by = dearer((of_late or earlier).counts, later.counts, prices)
    most_ns = min(cpu_ns * _MOST_ADDED, max(cpu_ns - counts.python * prices.call * _LEAST_OF_CALL, 0.0))
    added_ns = min(added(counts, prices.times(by), cpu_ns * later.recorded), most_ns)
    event_ns = added_ns / counts.events if counts.events else 0.0
    share = share_of(added_ns, cpu_ns)
    busy = _busy(counts, cpu_ns * later.recorded)
    return Overhead(span_s, counts.events / span_s, event_ns, share, cpu_ns, added_ns, later.recorded, by, busy)


def dearer(earlier: Counts, later: Counts, prices: Prices) -> float:
    """Return how many times as much an event costs in the program as where its price was measured.

    Some of its handlers are timed, as are those of that loop: what holds these up, caches and branches that were used
    for other things meanwhile, holds up the interpreter before them as well.
    """
    if not prices.timed:
        return 1.0
    for counts in (later.since(earlier), later):
        if counts.timed >= _ENOUGH_TIMED:
            return min(max(counts.timed_ns / counts.timed / prices.timed, 1.0), _MOST_DEARER)
    return _USUALLY_DEARER


def added(counts: Counts, prices: Prices, cpu_ns: float) -> float:
    """Return how much longer a program ran, ns, that took so much CPU time while it was recorded."""
    of_events = _price(counts, prices)
    in_python = counts.python_ns * _busy(counts, cpu_ns) - of_events
    return of_events + max(in_python, 0.0) * (1 - 1 / prices.slower)


def _busy(counts: Counts, cpu_ns: float) -> float:
    """Return in which share of the time that is recorded threads had a processor; they wait for it anywhere."""
    recorded_ns = counts.python_ns + counts.c_ns
    return min(cpu_ns / recorded_ns, 1.0) if recorded_ns else 1.0


def _price(counts: Counts, prices: Prices) -> float:
    """Return what events have added.

    A call of a Python function has the event before it in its price, where one is told; but that is counted by itself,
    in the caller. Calls by C code have none.
    """
    return (
        counts.python * max(prices.python - prices.uncounted, 0.0)
        + counts.resumed * prices.resumed
        + counts.c * prices.c
        + counts.method * prices.method
        + counts.uncounted * prices.uncounted
    )


def share_of(added_ns: float, cpu_ns: float) -> float:
    """Return what is added, of what there would be without it."""
    without_ns = cpu_ns - added_ns
    return added_ns / without_ns if without_ns > 0 else 0.0


def percent(share: float, above: float = 0.0) -> str:
    """Return a share in words, with two digits that tell something.

    Args:
        share: such as 0.2.
        above: one that it is above, where it is: it is told with as many digits as show that.
    """
    digits = max(1 - math.floor(math.log10(share * 100)), 0) if share > 0 else 0
    # With six digits a limit is told.
    least = float(f"{above * 100:g}")
    while above < share and float(f"{share * 100:.{digits}f}") <= least and digits < _MOST_DIGITS:
        digits += 1
    return f"{share * 100:.{min(digits, _MOST_DIGITS)}f}%"


@dataclass(frozen=True, slots=True)
class FunctionCounts:
    """What a function cost between two looks.

    Attributes:
        index: its number in the tables.
        counts: of its own calls, and of the C functions that it calls: both end where it is switched off.
        ns: its time, and that of these C functions.
    """

    index: int
    counts: Counts
    ns: int


def to_switch_off(
    functions: Sequence[FunctionCounts], prices: Prices, spent: Overhead, limit: float
) -> list[FunctionCounts]:
    """Return the short functions to switch off, those with most events first, until the rest is within a limit.

    Args:
        functions: what each has cost in a span.
        prices: of events.
        spent: what all of them have cost in it.
        limit: of the share.
    """
    found: list[FunctionCounts] = []
    left_ns, prices = spent.added_ns, prices.times(spent.dearer)
    for one in sorted(functions, key=lambda one: one.counts.events, reverse=True):
        if share_of(left_ns, spent.cpu_ns - (spent.added_ns - left_ns)) <= limit:
            break
        if _is_short(one, prices, limit, spent.busy):
            found.append(one)
            left_ns -= _price(one.counts, prices)
    return found


def _is_short(function: FunctionCounts, prices: Prices, limit: float, busy: float) -> bool:
    """Return whether a call takes so little that a program of such calls would be above the limit.

    What counts is its time on a processor, `busy` of all. One that makes many calls of C functions is none for that;
    nor is one that was called before, and runs still.
    """
    counts = function.counts
    price_ns = counts.python * prices.python + counts.resumed * prices.resumed
    return price_ns > 0 and function.ns * busy < price_ns * (1 + 1 / limit) * _SHORT


@dataclass(frozen=True, slots=True)
class SwitchedOff:
    """A function that was switched off to keep within a limit.

    Attributes:
        name: its qualified name.
        file, first_line: where it is.
        calls: until then.
        mean_ns: its own time by then, a call.
        after_s: since the start of the recording.
        limit: of the overhead.
    """

    name: str
    file: str
    first_line: int
    calls: int
    mean_ns: int
    after_s: float
    limit: float


def switched_off_in(header: Header) -> list[SwitchedOff]:
    """Return what was switched off in a recording; what is none is left out."""
    rows = header.extra.get(SWITCHED_OFF)
    return [one for row in rows if (one := _switched_off(row)) is not None] if isinstance(rows, list) else []


def switched_off_in_sum(headers: Sequence[Header]) -> dict[str, object]:
    """Return what was switched off in any of several recordings, as a field of a header; nothing where nothing was."""
    rows = [asdict(one) for header in headers for one in switched_off_in(header)]
    return {SWITCHED_OFF: rows} if rows else {}


def _switched_off(row: object) -> SwitchedOff | None:
    match row:
        case {
            "name": str(name),
            "file": str(file),
            "first_line": int(line),
            "calls": int(calls),
            "mean_ns": int(mean_ns),
            "after_s": int() | float() as after_s,
            "limit": int() | float() as limit,
        } if math.isfinite(after_s) and math.isfinite(limit):
            return SwitchedOff(name, file, line, calls, mean_ns, after_s, limit)
    return None
