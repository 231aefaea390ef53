"""Stacks written out in full, of bounded depth: exports that repeat them grow with nodes x depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from execd.model.tree import preorder
from execd.model.views import LEFT_OUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_Frame = TypeVar("_Frame")

MAX_DEPTH = 512
TRUNCATED = LEFT_OUT


def stacks(parents: Sequence[int], frames: Sequence[_Frame], truncated: _Frame) -> Iterator[tuple[int, list[_Frame]]]:
    """Yield each node with the frames from the bottom to it, at most MAX_DEPTH.

    Args:
        parents: a node's parent, as in a profile.
        frames: what stands for each node.
        truncated: stands at the bottom for all frames that were left out there; the leaf is always kept.
    """
    path: list[_Frame] = []
    for node, depth in preorder(parents):
        del path[depth:]
        path.append(frames[node])
        if depth < MAX_DEPTH:
            yield node, path[:]
        else:
            yield node, [truncated, *path[1 - MAX_DEPTH :]]
