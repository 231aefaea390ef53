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


@dataclass(slots=True)
class Samples:
    """All that has been taken so far.

    Attributes:
        nodes: in the order in which they came, parents before their children.
        codes: what was read of the code objects, by index.
        counts: by node and state's index.
        figures: of the recording, as daemon/native/sampler.h names them.
        held: the buckets of struct stops, how long threads were held.
        threads: those that were met, by the kernel's id.
    """

    nodes: list[Node] = field(default_factory=list)
    codes: list[CodeObject | Unreadable] = field(default_factory=list)
    counts: Counter[tuple[int, int]] = field(default_factory=Counter)
    figures: dict[str, int] = field(default_factory=dict)
    held: bytes = b""
    threads: set[int] = field(default_factory=set)

    def add(self, taken: Taken) -> None:
        """Add what is new; its code objects are the reader's affair."""
        for parent, code, where in _NODE.iter_unpack(taken["nodes"]):
            self.nodes.append(Node(None if parent == _NO_NODE else parent, code, where))
            if code == THREAD:
                self.threads.add(where)
        for node, *counts in _COUNTS.iter_unpack(taken["counts"]):
            self.counts.update({(node, state): count for state, count in enumerate(counts) if count})
        self.figures = dict(taken["figures"])
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
