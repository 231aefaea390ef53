"""tracemalloc's traces as a table: a node for all blocks of one traceback, domain and size."""

from __future__ import annotations

import _collections  # type: ignore[import-not-found]
import itertools

from execd_agent.collectors.table import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What a node takes here, in lists and dicts of integers.
_NODE_BYTES = 300
# Counted in one call, with the GIL held: half a millisecond.
_STEP = 1_000
_OWN = "<execd_agent"


def block_table(traces: list[Any], header: dict[str, Any], limit_bytes: int) -> bytes:
    """Return the bulk payload.

    Args:
        traces: (domain, size, frames, number of frames before they were cut), frames the most recent one first.
        header: the facts; what was left out is added to its `lost` and `extra`.
        limit_bytes: for the table; the blocks with the most bytes come first.
    """
    # Nothing is made for each block: tracemalloc would see it, which takes longer than all else. The traces are the
    # keys; those of one traceback share its frames, so that no two tuples of frames are compared.
    counts: dict[Any, int] = {}
    remaining = iter(traces)
    while step := list(itertools.islice(remaining, _STEP)):
        _collections._count_elements(counts, step)
    blocks = _Blocks(limit_bytes // _NODE_BYTES)
    for trace in sorted(counts, key=lambda trace: -trace[1] * counts[trace]):
        blocks.add(*trace, count=counts[trace])
    extra = {**header["extra"], "own_blocks": blocks.own_blocks, "own_bytes": blocks.own_bytes}
    lost = {**header["lost"], **{reason: number for reason, number in blocks.lost.items() if number}}
    return blocks.table.encode({**header, "extra": extra, "lost": lost})


class _Blocks:
    """The table as it grows; a stack is a chain of nodes, the oldest frame at its bottom."""

    def __init__(self, most_nodes: int) -> None:
        self.table = Table(("blocks", "bytes", "frames"))
        self.own_blocks = self.own_bytes = 0
        self.lost = {"blocks over the memory limit": 0, "bytes of blocks over the memory limit": 0}
        self._most_nodes = most_nodes
        self._labels: dict[int, int] = {}
        self._steps: dict[tuple[int, int, int], int] = {}
        self._parents: dict[tuple[int, int], int] = {}
        # By the address of the frames.
        self._own: dict[int, bool] = {}

    def add(self, domain: int, size: int, frames: Any, total: int, *, count: int) -> None:
        """Add blocks of one size and traceback, unless the agent's code is in it."""
        if self._is_own(frames):
            self.own_blocks += count
            self.own_bytes += count * size
            return
        if len(self.table.parents) + len(frames) > self._most_nodes:
            self.lost["blocks over the memory limit"] += count
            self.lost["bytes of blocks over the memory limit"] += count * size
            return
        file, line = frames[0]
        label = self._labels.get(domain)
        if label is None:
            label = self._labels[domain] = self.table.label(domain=domain)
        self.table.add(self._parent(frames, label), self._location(file, line), label, (count, count * size, total))

    def _is_own(self, frames: Any) -> bool:
        is_own = self._own.get(id(frames))
        if is_own is None:
            is_own = self._own[id(frames)] = any(file.startswith(_OWN) for file, _ in frames)
        return is_own

    def _parent(self, frames: Any, label: int) -> int:
        """Return the node of the frames below the most recent one, -1 where there are none."""
        known = self._parents.get((id(frames), label))
        if known is not None:
            return known
        node = -1
        for file, line in frames[:0:-1]:
            step = (node, self._location(file, line), label)
            found = self._steps.get(step)
            if found is None:
                found = self._steps[step] = self.table.add(node, step[1], label, (0, 0, 0))
            node = found
        self._parents[id(frames), label] = node
        return node

    def _location(self, file: str, line: int) -> int:
        return self.table.location(self.table.function(file, "", "", file, 0), line)
