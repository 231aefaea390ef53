"""Rows of events, column by column, as a log keeps them and a follower gets them."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass, field

from execd.model.collector import TraceKind

# Nanoseconds of a clock that a hostile agent may have.
_MOST_NS = 1 << 62


@dataclass(slots=True)
class Rows:
    """Events that follow each other, an entry in each array.

    Attributes:
        times: nanoseconds since the session began.
        kinds: values of TraceKind.
        locations, labels: indexes of the log's; those of lost events say nothing.
        ends: how many events the session has produced with this one, lost ones among them.
    """

    times: array[int] = field(default_factory=lambda: array("q"))
    kinds: array[int] = field(default_factory=lambda: array("b"))
    locations: array[int] = field(default_factory=lambda: array("i"))
    labels: array[int] = field(default_factory=lambda: array("i"))
    ends: array[int] = field(default_factory=lambda: array("q"))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.ends)

    def extend(self, more: Rows) -> None:
        """Add those that come next."""
        self.times.extend(more.times)
        self.kinds.extend(more.kinds)
        self.locations.extend(more.locations)
        self.labels.extend(more.labels)
        self.ends.extend(more.ends)

    def after(self, number: int, most: int) -> Rows:
        """Return those that end after so many were produced, at most `most`."""
        start = bisect_right(self.ends, number)
        chosen = slice(start, start + most)
        return Rows(
            self.times[chosen], self.kinds[chosen], self.locations[chosen], self.labels[chosen], self.ends[chosen]
        )

    def lost(self, before: int) -> list[int]:
        """Return how many each stands for that is a mark, 0 for events; `before` them were produced so many."""
        if TraceKind.LOST not in self.kinds:
            return [0] * len(self)
        starts = [before, *self.ends[:-1]]
        return [
            end - start if kind == TraceKind.LOST else 0
            for kind, start, end in zip(self.kinds, starts, self.ends, strict=True)
        ]


def mark(time_ns: int, end: int) -> Rows:
    """Return the mark of all events that are missing until so many were produced."""
    zero = array("i", [0])
    return Rows(array("q", [time_ns]), array("b", [TraceKind.LOST]), zero, zero, array("q", [end]))


def shifted(times: array[int], offset_ns: int) -> array[int]:
    """Return times that count from another instant; none is before it."""
    offset_ns = max(min(offset_ns, _MOST_NS), -_MOST_NS)
    return array("q", [max(time_ns + offset_ns, 0) for time_ns in times])


def numbered(kinds: array[int], lost: array[int], before: int) -> array[int]:
    """Return how many were produced with each event, where `before` were produced with the one before the first."""
    if TraceKind.LOST not in kinds:
        return array("q", range(before + 1, before + 1 + len(kinds)))
    ends = array("q")
    for kind, count in zip(kinds, lost, strict=True):
        before += count if kind == TraceKind.LOST else 1
        ends.append(before)
    return ends
