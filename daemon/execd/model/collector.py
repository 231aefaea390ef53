"""Collectors: the ways to measure, each with the columns of its profiles and what happened between two of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from execd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Since(Enum):
    """How a session that began while its collector was on already comes to what happened since it began."""

    # Its figures grow: the later ones less the earlier ones.
    SUBTRACTED = "subtracted"
    # Its places carry the number of the latest start in which they were seen; those of earlier starts are left out.
    MARKED = "marked"
    # Nothing is taken off: it is a state, or what was recorded for one session alone.
    WHOLE = "whole"


class TraceKind(IntEnum):
    """What a node of a trace is; the kind of an event."""

    LINE = 0
    CALL = 1
    # The place where as many events are missing as its column `lost` says.
    LOST = 2


@dataclass(frozen=True, slots=True)
class Collector:
    """A way to measure.

    Attributes:
        name: as sessions and profiles name it.
        columns: name and unit of each column of its profiles.
        since: how profiles of one recording come to what happened between them.
        caveat: what all of its profiles do not say, one sentence, or "".
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    since: Since
    caveat: str = ""


CALLS = Collector(
    "calls",
    (("calls", "count"), ("self_ns", "ns"), ("open", "count")),
    Since.SUBTRACTED,
    "covers the time since the attach; functions open then carry no call of their own",
)
# The columns of calls that were summed already, as files of pstats hold them. A root is then a function with its
# figures, and below it are those that called it, each with the function's figures under this caller.
SUMMED = (("calls", "count"), ("primitive_calls", "count"), ("self_ns", "ns"), ("total_ns", "ns"))
# A caller, and below it what it called; a function that a thread began with has no caller.
CALLERS = Collector("callers", (("calls", "count"),), Since.SUBTRACTED, "covers the calls since the attach")
# A node a function; a mark is the number of the start that it was seen after.
FUNCTIONS = Collector(
    "functions", (("mark", "number"),), Since.MARKED, "covers the functions that were entered since the attach"
)
# A node a line.
LINES = Collector("lines", (("hits", "count"),), Since.SUBTRACTED, "covers the lines that ran since the attach")
COVER = Collector("cover", (("mark", "number"),), Since.MARKED, "covers the lines that ran since the attach")
# A node an event, in their order; see TraceKind.
TRACE = Collector("trace", (("time_ns", "ns"), ("kind", "number"), ("lost", "count")), Since.WHOLE)
# Tracebacks, the oldest frame at the bottom; a node with blocks stands for all of one traceback, domain and size.
MEMORY = Collector(
    "memory",
    (("blocks", "count"), ("bytes", "bytes"), ("frames", "count")),
    Since.WHOLE,
    "covers blocks that were allocated since tracing began and live still",
)
# Stacks that were looked at; a node has what was seen where it was the innermost frame.
SAMPLES = Collector("samples", (("samples", "count"), ("wall_ns", "ns"), ("cpu_ns", "ns")), Since.SUBTRACTED)
# The columns that samples have beside where the daemon took them itself: counts by what the thread was at, a sample in
# one of them. Running is on a processor, or ready for one; the rest waits.
STATES = (
    ("running_with_gil", "count"),
    ("running_without", "count"),
    ("waiting_with_gil", "count"),
    ("waiting_for_gil", "count"),
    ("waiting", "count"),
)
# What profiles may have beside: of calls how many events cost time in a node and are of no counted call, and how many
# handlers were timed there, see bias.py.
OPTIONAL_COLUMNS: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {CALLS.name: (("uncounted", "count"), ("timed", "count"), ("timed_ns", "ns")), SAMPLES.name: STATES}
)
# A node a type.
CENSUS = Collector("census", (("objects", "count"), ("bytes", "bytes")), Since.WHOLE)
COLLECTORS: Mapping[str, Collector] = MappingProxyType(
    {one.name: one for one in (CALLS, CALLERS, FUNCTIONS, LINES, COVER, TRACE, MEMORY, CENSUS, SAMPLES)}
)


def collector_of(name: str) -> Collector:
    """Return a collector by its name.

    Raises:
        UsageError: a newer execd's.
    """
    found = COLLECTORS.get(name)
    if found is None:
        raise UsageError(
            f"no collector {name!r}", remedy=f"choose from: {', '.join(COLLECTORS)}", collector=ascii(name)
        )
    return found
