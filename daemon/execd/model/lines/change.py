"""Comparison of two profiles of lines: which lines came to run, and which ran more.

As in `change.py`: profiles of one session differ by what happened between, those of two compare per second, and those
of files as they are. Lines that were only marked compare by whether they ran.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from execd.model.change import Kind, compares_per_second, seconds_of
from execd.model.lines.listing import counts_by_file

if TYPE_CHECKING:
    from collections.abc import Collection

    from execd.model.profile import Profile

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LineChange:
    """A line that differs: its hits in both profiles, or the same per second."""

    kind: Kind
    path: str
    line: int
    earlier: float
    later: float

    @property
    def delta(self) -> float:
        """Later minus earlier."""
        return self.later - self.earlier


@dataclass(frozen=True, slots=True)
class LineComparison:
    """Two profiles against each other: new, gone, more, less; in each by file and line, or by the largest change."""

    per_second: bool
    changes: tuple[LineChange, ...]


def compare_lines(earlier: Profile, later: Profile) -> LineComparison:
    """Return what differs between two profiles of lines, or of cover.

    Raises:
        UsageError: they are of two sessions, and one covers no time.
    """
    is_marked = later.header.collector == "cover"
    per_second = not is_marked and compares_per_second(earlier.header, later.header)
    before, after = _rates(earlier, per_second=per_second), _rates(later, per_second=per_second)
    changes = [
        LineChange(_kind(place, before, after), *place, before.get(place, 0), after.get(place, 0))
        for place in dict.fromkeys([*before, *after])
        if before.get(place) != after.get(place)
    ]
    order = {kind: place for place, kind in enumerate(Kind)}
    by_place = (Kind.NEW, Kind.GONE)
    changes.sort(key=lambda one: (order[one.kind], 0 if one.kind in by_place else -abs(one.delta), one.path, one.line))
    return LineComparison(per_second, tuple(changes))


def came_and_went(before: Collection[T], after: Collection[T], *, of_one_session: bool) -> list[tuple[Kind, T]]:
    """Return what came, and what is missing, which what was recorded cannot be in one session; in their order."""
    gone = [] if of_one_session else [one for one in before if one not in after]
    return [*((Kind.NEW, one) for one in after if one not in before), *((Kind.GONE, one) for one in gone)]


def _kind(place: tuple[str, int], before: dict[tuple[str, int], float], after: dict[tuple[str, int], float]) -> Kind:
    if place not in before:
        return Kind.NEW
    if place not in after:
        return Kind.GONE
    return Kind.MORE if after[place] > before[place] else Kind.LESS


def _rates(profile: Profile, *, per_second: bool) -> dict[tuple[str, int], float]:
    seconds = seconds_of(profile.header) if per_second else 1.0
    return {
        (path, line): count / seconds if per_second else count
        for path, lines in counts_by_file(profile).items()
        for line, count in lines.items()
    }
