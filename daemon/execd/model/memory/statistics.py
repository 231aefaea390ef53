"""Statistics of memory blocks, and what became of them: the figures and the order of tracemalloc."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from execd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from execd.model.memory.blocks import Blocks, Frame

# What a statistic is of: the frames of a traceback, the oldest one first; one frame by line; line 0 by file.
Place = tuple["Frame", ...]


class By(Enum):
    """What blocks are put together by."""

    FILENAME = "filename"
    LINENO = "lineno"
    TRACEBACK = "traceback"


class Change(Enum):
    """What became of a place between two snapshots."""

    NEW = "new"
    GROWN = "grown"
    SAME = "same"
    SHRUNK = "shrunk"
    FREED = "freed"


@dataclass(frozen=True, slots=True)
class Statistic:
    """What lives of one place: size in bytes, and how many blocks."""

    place: Place
    size: int
    count: int


@dataclass(frozen=True, slots=True)
class Difference:
    """What lives of one place, and how much more that is than before."""

    place: Place
    size: int
    size_delta: int
    count: int
    count_delta: int

    @property
    def change(self) -> Change:
        """What became of the place; by its size, and by its blocks where that is the same."""
        delta = self.size_delta or self.count_delta
        if self.count and self.count == self.count_delta:
            return Change.NEW
        if not self.count and delta:
            return Change.FREED
        if not delta:
            return Change.SAME
        return Change.GROWN if delta > 0 else Change.SHRUNK


def statistics(blocks: Iterable[Blocks], by: By, *, cumulative: bool = False) -> list[Statistic]:
    """Return the statistics, the largest first.

    Args:
        blocks: of one snapshot.
        by: what to put together.
        cumulative: count blocks at every frame of their traceback, as often as it is in there, and not at the newest
            alone.

    Raises:
        UsageError: cumulative by traceback.
    """
    groups = _grouped(blocks, by, cumulative=cumulative)
    found = [Statistic(place, size, count) for place, (size, count) in groups.items()]
    found.sort(key=lambda one: (one.size, one.count, one.place), reverse=True)
    return found


def differences(
    earlier: Iterable[Blocks], later: Iterable[Blocks], by: By, *, cumulative: bool = False
) -> list[Difference]:
    """Return the statistics of a later snapshot against an earlier one, the largest change first.

    Raises:
        UsageError: cumulative by traceback.
    """
    before = _grouped(earlier, by, cumulative=cumulative)
    after = _grouped(later, by, cumulative=cumulative)
    found = [_difference(place, before, after) for place in before | after]
    found.sort(
        key=lambda one: (abs(one.size_delta), one.size, abs(one.count_delta), one.count, one.place), reverse=True
    )
    return found


def _difference(
    place: Place, before: Mapping[Place, tuple[int, int]], after: Mapping[Place, tuple[int, int]]
) -> Difference:
    (old_size, old_count), (size, count) = before.get(place, (0, 0)), after.get(place, (0, 0))
    return Difference(place, size, size - old_size, count, count - old_count)


def _grouped(blocks: Iterable[Blocks], by: By, *, cumulative: bool) -> dict[Place, tuple[int, int]]:
    if cumulative and by is By.TRACEBACK:
        raise UsageError(
            "cumulative statistics are by filename or lineno, not by traceback",
            remedy="leave out --cumulative, or choose --by lineno",
        )
    groups: dict[Place, tuple[int, int]] = {}
    for one in blocks:
        for place in _places(one, by, cumulative=cumulative):
            size, count = groups.get(place, (0, 0))
            groups[place] = (size + one.size, count + one.count)
    return groups


def _places(blocks: Blocks, by: By, *, cumulative: bool) -> list[Place]:
    if by is By.TRACEBACK:
        return [blocks.frames]
    frames = blocks.frames if cumulative else blocks.frames[-1:]
    if by is By.LINENO:
        return [(frame,) for frame in frames]
    return [((file, 0),) for file, _ in frames]
