"""Memory blocks of a profile of the memory collector, and the filters of tracemalloc on them."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.errors import ProfileCorrupt
from execd.model.profile import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from execd.model.profile import Profile

# File and line.
Frame = tuple[str, int]

# A chain of frames whose every node has blocks would come to the square of its length.
_MOST_FRAMES = 20_000_000


@dataclass(frozen=True, slots=True)
class Blocks:
    """All blocks of one traceback, domain and size.

    Attributes:
        domain: tracemalloc's.
        count: how many.
        size: of all of them, bytes.
        frames: of the traceback, the oldest one first; at least one.
        total_frames: how many it had before it was cut.
    """

    domain: int
    count: int
    size: int
    frames: tuple[Frame, ...]
    total_frames: int

    @property
    def newest(self) -> Frame:
        """The frame that allocated."""
        return self.frames[-1]


@dataclass(frozen=True, slots=True)
class BlockFilter:
    """A filter as tracemalloc.Filter is.

    Attributes:
        inclusive: what fits is wanted; else what does not.
        pattern: of file names, as fnmatch takes it; ".pyc" stands for ".py".
        line: of the file, None for any.
        all_frames: look at every frame, not at the newest alone.
    """

    inclusive: bool
    pattern: str
    line: int | None = None
    all_frames: bool = False

    def wants(self, blocks: Blocks) -> bool:
        """Whether blocks pass."""
        return self.fits(blocks) == self.inclusive

    def fits(self, blocks: Blocks) -> bool:
        """Whether the pattern fits blocks."""
        frames = blocks.frames if self.all_frames else blocks.frames[-1:]
        return any(self._fits(*frame) for frame in frames)

    def _fits(self, file: str, line: int) -> bool:
        return fnmatch.fnmatchcase(_source_name(file), _source_name(self.pattern)) and self.line in (None, line)


def blocks_of(profile: Profile) -> list[Blocks]:
    """Return the blocks of a profile, in the order of its nodes.

    Raises:
        ProfileCorrupt: its stacks would fill the memory when they are written out.
    """
    counts, sizes, totals = (profile.column(name) for name in ("blocks", "bytes", "frames"))
    steps = [(profile.functions[one.function].file, one.line) for one in profile.locations]
    chains: dict[int, tuple[Frame, ...]] = {ROOT: ()}
    found, room = [], _MOST_FRAMES
    for node, count in enumerate(counts):
        if not count:
            continue
        frames = (*_chain(profile, profile.parents[node], steps, chains), steps[profile.node_locations[node]])
        room -= len(frames)
        if room < 0:
            raise ProfileCorrupt(f"tracebacks of more than {_MOST_FRAMES} frames in all")
        domain = profile.labels[profile.node_labels[node]].domain
        found.append(Blocks(domain, count, sizes[node], frames, totals[node]))
    return found


def _chain(
    profile: Profile, node: int, steps: Sequence[Frame], chains: dict[int, tuple[Frame, ...]]
) -> tuple[Frame, ...]:
    """Return the frames from the bottom to a node; kept for the next traceback that stands on it."""
    path, place = [], node
    while place not in chains:
        path.append(steps[profile.node_locations[place]])
        place = profile.parents[place]
    if path:
        chains[node] = (*chains[place], *reversed(path))
    return chains[node]


def filtered(blocks: Iterable[Blocks], filters: Sequence[BlockFilter], domain: int | None = None) -> list[Blocks]:
    """Return the blocks that pass as in tracemalloc: any of the inclusive filters, each of the exclusive ones.

    Args:
        blocks: to choose from.
        filters: inclusive and exclusive ones.
        domain: that of the blocks, None for all.
    """
    included = [one for one in filters if one.inclusive]
    excluded = [one for one in filters if not one.inclusive]
    return [
        one
        for one in blocks
        if domain in (None, one.domain)
        and (not included or any(rule.wants(one) for rule in included))
        and all(rule.wants(one) for rule in excluded)
    ]


def _source_name(file: str) -> str:
    return file[:-1] if file.endswith(".pyc") else file
