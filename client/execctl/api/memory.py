"""Profiles of memory: what tracemalloc tells, as values. Its filters are taken as they are."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from execctl.api.frame import Frame
from execctl.api.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

By = Literal["filename", "lineno", "traceback"]


@dataclass(frozen=True, slots=True)
class Trace:
    """Blocks that were allocated at one place.

    Attributes:
        domain: of the allocator; 0 is Python's own.
        count: how many blocks.
        size_bytes: of them all.
        traceback: where, the oldest frame first.
        total_nframe: how many frames there were before the traceback was cut.
    """

    domain: int
    count: int
    size_bytes: int
    traceback: tuple[Frame, ...]
    total_nframe: int


@dataclass(frozen=True, slots=True)
class Statistic:
    """What lives of one place.

    Attributes:
        traceback: the place, the oldest frame first; one frame by line, with line 0 by file.
        size_bytes: of all its blocks.
        count: how many these are.
    """

    traceback: tuple[Frame, ...]
    size_bytes: int
    count: int

    @property
    def average_bytes(self) -> float:
        """Of a block."""
        return self.size_bytes / self.count if self.count else 0.0


@dataclass(frozen=True, slots=True)
class StatisticDiff:
    """What lives of one place, and how much more that is than in an earlier profile.

    Attributes:
        traceback: as in Statistic.
        size_bytes: of all its blocks.
        size_diff_bytes: more than earlier.
        count: how many blocks.
        count_diff: more than earlier.
    """

    traceback: tuple[Frame, ...]
    size_bytes: int
    size_diff_bytes: int
    count: int
    count_diff: int


@dataclass(frozen=True, slots=True)
class MemoryProfile(Profile):
    """What `memory=True` records: the blocks that were allocated since the start, and live.

    Attributes:
        traces: in the order of the stored profile.
        traceback_limit: how many frames a traceback has at most.
    """

    traces: tuple[Trace, ...]
    traceback_limit: int

    @property
    def count(self) -> int:
        """How many blocks there are."""
        return sum(one.count for one in self.traces)

    @property
    def size_bytes(self) -> int:
        """What they take."""
        return sum(one.size_bytes for one in self.traces)

    def statistics(self, by: By = "lineno", *, cumulative: bool = False) -> list[Statistic]:
        """Return what lives where, the most bytes first.

        Args:
            by: what is put together: "filename", "lineno" or "traceback".
            cumulative: count a block at every frame of its traceback; not by traceback.

        Raises:
            ValueError: by something else, or cumulative by traceback.
        """
        groups = _grouped(self.traces, by, cumulative=cumulative)
        found = [Statistic(place, size, count) for place, (size, count) in groups.items()]
        return sorted(found, key=lambda one: (one.size_bytes, one.count, one.traceback), reverse=True)

    def compare_to(self, earlier: MemoryProfile, by: By = "lineno", *, cumulative: bool = False) -> list[StatisticDiff]:
        """Return what lives where against an earlier profile, the largest change first.

        Args:
            earlier: of the same process, or of another.
            by: as in `statistics`.
            cumulative: likewise.

        Raises:
            ValueError: as of `statistics`.
        """
        before = _grouped(earlier.traces, by, cumulative=cumulative)
        after = _grouped(self.traces, by, cumulative=cumulative)
        found = []
        for place in before | after:
            (old_size, old_count), (size, count) = before.get(place, (0, 0)), after.get(place, (0, 0))
            found.append(StatisticDiff(place, size, size - old_size, count, count - old_count))
        return sorted(found, key=_change, reverse=True)

    def filtered(self, filters: Iterable[tracemalloc.BaseFilter]) -> MemoryProfile:
        """Return the profile of the blocks that pass: any of the inclusive filters, each of the exclusive ones.

        Args:
            filters: those of the standard library, `tracemalloc.Filter` and `tracemalloc.DomainFilter`.
        """
        # By their numbers in the place of their sizes, which filters do not look at: so that the stdlib's own decide.
        numbered = [
            (one.domain, number, _newest_first(one), one.total_nframe) for number, one in enumerate(self.traces)
        ]
        passed = tracemalloc.Snapshot(numbered, self.traceback_limit).filter_traces(list(filters))  # type: ignore[arg-type]  # these two are all that there are
        return replace(self, traces=tuple(self.traces[one.size] for one in passed.traces))

    def to_tracemalloc(self) -> tracemalloc.Snapshot:
        """Return the snapshot of the standard library; it lists each block, so that many of them take much memory."""
        return tracemalloc.Snapshot(list(_blocks(self.traces)), self.traceback_limit)


def read_memory(raw: Mapping[str, Any], begun: Mapping[str, Any]) -> MemoryProfile:
    """Return the profile that a JSON report of traces holds."""
    files = raw["files"]
    tracebacks = [tuple(Frame(files[file], line) for file, line in one) for one in raw["tracebacks"]]
    traces = tuple(
        Trace(domain, count, size, tracebacks[place], total) for domain, count, size, place, total in raw["traces"]
    )
    return MemoryProfile(**begun, traces=traces, traceback_limit=raw["traceback_limit"])


def _grouped(traces: Iterable[Trace], by: By, *, cumulative: bool) -> dict[tuple[Frame, ...], tuple[int, int]]:
    if by not in ("filename", "lineno", "traceback"):
        raise ValueError(f"statistics are by filename, lineno or traceback, and not by {by!r}")
    if cumulative and by == "traceback":
        raise ValueError("cumulative statistics are by filename or lineno, and not by traceback")
    groups: dict[tuple[Frame, ...], tuple[int, int]] = {}
    for one in traces:
        for place in _places(one, by, cumulative=cumulative):
            size, count = groups.get(place, (0, 0))
            groups[place] = size + one.size_bytes, count + one.count
    return groups


def _places(one: Trace, by: By, *, cumulative: bool) -> Iterator[tuple[Frame, ...]]:
    if by == "traceback":
        yield one.traceback
        return
    for frame in one.traceback if cumulative else one.traceback[-1:]:
        yield (frame if by == "lineno" else Frame(frame.filename, 0),)


def _change(one: StatisticDiff) -> tuple[object, ...]:
    return abs(one.size_diff_bytes), one.size_bytes, abs(one.count_diff), one.count, one.traceback


def _newest_first(one: Trace) -> tuple[tuple[str, int], ...]:
    return tuple((frame.filename, frame.lineno) for frame in reversed(one.traceback))


def _blocks(traces: Iterable[Trace]) -> Iterator[tuple[int, int, tuple[tuple[str, int], ...], int]]:
    """Yield each block; what sizes do not share evenly is the last one's, so that no figure is lost."""
    for one in traces:
        size, rest = divmod(one.size_bytes, one.count)
        frames = _newest_first(one)
        for _ in range(one.count - 1):
            yield one.domain, size, frames, one.total_nframe
        yield one.domain, size + rest, frames, one.total_nframe
