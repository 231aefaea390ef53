"""Tables of a native core as it lays them out, with one thread's calls of some functions; see coretables.py."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from core_tables import CLOCK_WALL, MAGIC, NO_INDEX, NODES_AT, SEQUENCE_AT

if TYPE_CHECKING:
    from collections.abc import Mapping

NODE_BYTES, THREAD_BYTES, FUNCTION_BYTES = 64, 64, 32
IS_C, IS_OFF, IS_RESUMED = 1, 2, 4


def tables(
    calls: list[int],
    *,
    ns_a_call: int = 1000,
    off: frozenset[int] | set[int] = frozenset(),
    kinds: Mapping[int, int] | None = None,
    timed: tuple[int, int] = (0, 0),
) -> bytes:
    """Return tables in which functions 1, 2, ... of `step1`, `step2`, ... were called so often.

    Args:
        calls: how often each.
        ns_a_call: what each call took.
        off: which are switched off.
        kinds: what they are, where they are no code.
        timed: how many handlers were timed in the time of each, and what they took, ns.
    """
    nodes = _node(0, 0, NO_INDEX, 0) * 2
    rows, text = _function(0, "", bytearray()), bytearray()
    for number, count in enumerate(calls, 1):
        nodes += _node(count, count * ns_a_call, 1, number, timed)
        rows += _function((kinds or {}).get(number, 0) | IS_OFF * (number in off), f"step{number}", text)
    threads_at = NODES_AT + len(nodes)
    functions_at = threads_at + THREAD_BYTES
    text_at = functions_at + len(rows)
    head = bytearray(NODES_AT)
    places = (NODES_AT, threads_at, functions_at, text_at)
    struct.pack_into("<QIIQ4Q", head, 0, MAGIC, 1, NODES_AT, text_at + len(text), *places)
    struct.pack_into("<I", head, 72, CLOCK_WALL)
    struct.pack_into(
        "<Q5I", head, SEQUENCE_AT, 0, 0, len(nodes) // NODE_BYTES, 1, len(rows) // FUNCTION_BYTES, len(text)
    )
    return bytes(head) + nodes + bytes(THREAD_BYTES) + rows + bytes(text)


def _node(calls: int, ticks: int, parent: int, function: int, timed: tuple[int, int] = (0, 0)) -> bytes:
    return struct.pack("<5Q6I", 0, calls, ticks, 0, timed[1], parent, 0, function, 0, 0, timed[0])


def _function(kind: int, name: str, text: bytearray) -> bytes:
    places = []
    for part in (name, name, "app.py" if name else ""):
        places += [len(text), len(part)]
        text += part.encode()
    return struct.pack("<8I", kind, 3, *places)
