"""Samples: stacks that were met, each with how often its thread was in which state."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execd._sampler import Taken
    from execd.sampling.code_reader import CodeObject, Unreadable

# In their order in daemon/native/tree.h: what a thread is at.
STATES = ("running_with_gil", "running_without", "waiting_with_gil", "waiting_for_gil", "waiting")
# What a node is of that has no code object (daemon/native/tree.h).
THREAD, UNSETTLED, SYSTEM_CALL, TOO_DEEP = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFC
# As daemon/native/module.c names them.
FIGURES = (
    *("turns", "missed_turns", "samples", "unchanged", "verified", "unsettled"),
    *("unread", "torn", "no_code", "no_room", "unread_lists", "put_off", "threads_left_out"),
    *("stopped", "stop_refused"),
)
_NO_NODE = 0xFFFFFFFF
_NODE = struct.Struct("<IIQ")
_COUNTS = struct.Struct(f"<{1 + len(STATES)}I")


@dataclass(frozen=True, slots=True)
class Node:
    """A frame below others.

    Attributes:
        parent: the index of its caller's node, None of a thread's.
        code: the index of its code object, or one of the values above.
        where: its instruction, in bytes from the beginning of the code; of a thread its native id, of a system call its
            number.
    """

    parent: int | None
    code: int
    where: int


class Nodes:
    """Nodes in the order in which they came, packed: some thousand processes may be sampled. They only become more."""

    def __init__(self) -> None:
        self._rows = bytearray()

    def __len__(self) -> int:
        return len(self._rows) // _NODE.size

    def __getitem__(self, index: int) -> Node:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return _node(*_NODE.unpack_from(self._rows, index * _NODE.size))

    def __iter__(self) -> Iterator[Node]:
        # Of what is there now: others may add to it meanwhile.
        return iter([_node(*row) for row in _NODE.iter_unpack(bytes(self._rows))])

    def add(self, rows: bytes) -> None:
        """Append nodes, as the native sampler has them."""
        self._rows += rows


def _node(parent: int, code: int, where: int) -> Node:
    return Node(None if parent == _NO_NODE else parent, code, where)


@dataclass(slots=True)
class Samples:
    """All that has been taken so far.

    Attributes:
        nodes: in the order in which they came, parents before their children.
        codes: what was read of the code objects, by index.
        counts: by node and state's index.
        figures: of the recording, those of FIGURES.
        held: the buckets of struct stops, how long threads were held.
        threads: those that were met, by the kernel's id.
    """

    nodes: Nodes = field(default_factory=Nodes)
    codes: list[CodeObject | Unreadable] = field(default_factory=list)
    counts: Counter[tuple[int, int]] = field(default_factory=Counter)
    figures: dict[str, int] = field(default_factory=dict)
    held: bytes = b""
    threads: set[int] = field(default_factory=set)

    def add(self, taken: Taken) -> None:
        """Add what is new; its code objects are the reader's affair."""
        self.nodes.add(taken["nodes"])
        self.threads.update(where for _, code, where in _NODE.iter_unpack(taken["nodes"]) if code == THREAD)
        for node, *counts in _COUNTS.iter_unpack(taken["counts"]):
            self.counts.update({(node, state): count for state, count in enumerate(counts) if count})
        self.figures = taken["figures"]
        self.held = taken["held"]

    def take_counts(self) -> Counter[tuple[int, int]]:
        """Return the counts since the last time."""
        taken, self.counts = self.counts, Counter()
        return taken

    def path(self, node: int) -> Iterator[Node]:
        """Yield a node and those above it, its thread's last."""
        index: int | None = node
        while index is not None:
            yield self.nodes[index]
            index = self.nodes[index].parent
