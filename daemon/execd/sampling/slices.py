"""Slices: what a sampler met in each span of time; those that are over lie packed, for there may be many."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from execd.model.slices import SLICE_S
from execd.sampling.samples import FIGURES

if TYPE_CHECKING:
    from collections.abc import Iterator

# When it began and how long it was, and how many rows of each kind follow. No count of 10 s comes to 2 ** 32.
_HEAD: Final = struct.Struct("<qdIBB")
# A node, a state and a count; the index of a figure or a bucket, and a count.
_COUNT, _FIGURE = struct.Struct("<IBI"), struct.Struct("<BI")
_INDEXES: Final = {name: index for index, name in enumerate(FIGURES)}


@dataclass(slots=True)
class Slice:
    """What was met in a span of time.

    Attributes:
        at_s: when it began, seconds since the epoch.
        counts: by node and state.
        figures: of the sampler.
        held: times held, by bucket.
        span_s: for how long was looked.
    """

    at_s: int
    counts: Counter[tuple[int, int]] = field(default_factory=Counter)
    figures: Counter[str] = field(default_factory=Counter)
    held: Counter[int] = field(default_factory=Counter)
    span_s: float = 0.0


class Slices:
    """Those of one sampler, in the order in which they came; the latest one is added to."""

    def __init__(self) -> None:
        self._over = bytearray()
        self._latest: Slice | None = None

    def __bool__(self) -> bool:
        return bool(self._over) or self._latest is not None

    def __iter__(self) -> Iterator[Slice]:
        packed, at = bytes(self._over), 0
        while at < len(packed):
            one, at = _unpacked(packed, at)
            yield one
        if self._latest is not None:
            yield self._latest

    def at(self, at_s: int) -> Slice:
        """Return the slice that began at a time. Where the clock was set back there may be several of one time."""
        latest = self._latest
        if latest is None or latest.at_s != at_s:
            if latest is not None:
                self._over += _packed(latest)
            latest = self._latest = Slice(at_s)
        return latest

    def forget(self, before_s: float) -> None:
        """Let go of those that ended before a time, as far as none came before them that did not."""
        while self._over and _began_at(self._over) + SLICE_S <= before_s:
            del self._over[: _end(self._over, 0)]
        if not self._over and self._latest is not None and self._latest.at_s + SLICE_S <= before_s:
            self._latest = None


def _began_at(packed: bytes | bytearray) -> int:
    return int(_HEAD.unpack_from(packed)[0])


def _end(packed: bytes | bytearray, at: int) -> int:
    """Return where the slice ends that begins there."""
    _, _, counts, figures, held = _HEAD.unpack_from(packed, at)
    return at + _HEAD.size + int(counts) * _COUNT.size + int(figures + held) * _FIGURE.size


def _packed(one: Slice) -> bytes:
    counts = b"".join(_COUNT.pack(node, state, count) for (node, state), count in one.counts.items())
    figures = b"".join(_FIGURE.pack(_INDEXES[name], count) for name, count in one.figures.items())
    held = b"".join(_FIGURE.pack(bucket, count) for bucket, count in one.held.items())
    head = _HEAD.pack(one.at_s, one.span_s, len(one.counts), len(one.figures), len(one.held))
    return b"".join((head, counts, figures, held))


def _unpacked(packed: bytes, at: int) -> tuple[Slice, int]:
    """Return the slice that begins there, and where the next one does."""
    at_s, span_s, counts, figures, _ = _HEAD.unpack_from(packed, at)
    figures_at = at + _HEAD.size + counts * _COUNT.size
    held_at, end = figures_at + figures * _FIGURE.size, _end(packed, at)
    found = Slice(
        at_s,
        Counter({(node, state): n for node, state, n in _COUNT.iter_unpack(packed[at + _HEAD.size : figures_at])}),
        Counter({FIGURES[index]: count for index, count in _FIGURE.iter_unpack(packed[figures_at:held_at])}),
        Counter(dict(_FIGURE.iter_unpack(packed[held_at:end]))),
        span_s,
    )
    return found, end
