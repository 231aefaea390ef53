"""Tables of a native core as it lays them out, with one thread's calls of some functions; see coretables.py."""

from __future__ import annotations

import struct

from core_tables import CLOCK_WALL, MAGIC, NO_INDEX, NODES_AT, SEQUENCE_AT

NODE_BYTES, THREAD_BYTES, FUNCTION_BYTES = 64, 64, 32
IS_OFF = 2


def tables(calls: list[int], *, ns_a_call: int = 1000, off: frozenset[int] | set[int] = frozenset()) -> bytes:
    """Return tables in which functions 1, 2, ... of `step1`, `step2`, ... were called so often."""
    nodes = _node(0, 0, NO_INDEX, 0) * 2
    rows, text = _function(0, "", bytearray()), bytearray()
    for number, count in enumerate(calls, 1):
        nodes += _node(count, count * ns_a_call, 1, number)
        rows += _function(IS_OFF if number in off else 0, f"step{number}", text)
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


def _node(calls: int, ticks: int, parent: int, function: int) -> bytes:
    return struct.pack("<5Q6I", 0, calls, ticks, 0, 0, parent, 0, function, 0, 0, 0)


def _function(kind: int, name: str, text: bytearray) -> bytes:
    places = []
    for part in (name, name, "app.py" if name else ""):
        places += [len(text), len(part)]
        text += part.encode()
    return struct.pack("<8I", kind, 3, *places)
