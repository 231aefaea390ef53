"""Walks over a tree stored as a parent a node. Nothing here recurses: stacks are thousands of frames deep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.model.profile import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_NONE = -1


def preorder(parents: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield each node with its depth (0 for a bottom frame), callers before callees, a subtree in one piece.

    Args:
        parents: a node's parent, smaller than its own index; ROOT for a bottom frame.
    """
    first_child, next_sibling = _links(parents)
    path: list[int] = []
    node = first_child[ROOT]
    while node != _NONE:
        yield node, len(path)
        path.append(node)
        node = first_child[node]
        while node == _NONE and path:
            node = next_sibling[path.pop()]


def subtree_sums(parents: Sequence[int], values: Sequence[int]) -> list[int]:
    """Return for each node its value plus those of all nodes below it."""
    sums = list(values)
    for node in range(len(sums) - 1, -1, -1):
        parent = parents[node]
        if parent != ROOT:
            sums[parent] += sums[node]
    return sums


def outermost(walk: Iterable[tuple[int, int]], groups: Sequence[int]) -> list[int]:
    """Return the nodes that have no ancestor of their own group.

    Args:
        walk: what `preorder` yields.
        groups: the group of each node, numbered from 0.
    """
    # Of each group the node that was outermost last, and its depth: an ancestor as long as the path has it.
    owners = [_NONE] * (max(groups, default=0) + 1)
    depths = [0] * len(owners)
    path = [_NONE] * len(groups)
    found = []
    for node, depth in walk:
        path[depth] = node
        group = groups[node]
        known = depths[group]
        if known >= depth or path[known] != owners[group]:
            owners[group] = node
            depths[group] = depth
            found.append(node)
    return found


def _links(parents: Sequence[int]) -> tuple[list[int], list[int]]:
    # The bottom frames' list hangs on the last entry of first_child, which is index ROOT (-1).
    first_child = [_NONE] * (len(parents) + 1)
    next_sibling = [_NONE] * len(parents)
    for node in range(len(parents) - 1, -1, -1):
        parent = parents[node]
        next_sibling[node] = first_child[parent]
        first_child[parent] = node
    return first_child, next_sibling
