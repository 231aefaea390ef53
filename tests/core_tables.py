"""Tables of a native core that are made by hand, in memory as a target has them; see inprocess/native/tables.h."""

from __future__ import annotations

import fcntl
import os
import struct
import time

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
MAGIC, NO_INDEX = 0x65726F6364637865, 0xFFFFFFFF
SEQUENCE_AT, READER_AT = 128, 136
PAGE_BYTES = 4096
NODES_AT, THREADS_AT, FUNCTIONS_AT, TEXT_AT = 192, 448, 576, 640
TEXT = b"workworkapp.pyMainThread"
IDENT = 4242
CLOCK_WALL, CLOCK_CPU = 1, 2
ENDED = 1


def tables(calls: int, *, clock: int = CLOCK_WALL, native_id: int = 0, **changes: int) -> bytearray:
    """Tables of one function, `work`, that one thread has called so often, 10 ns each time; it is there no more.

    Args:
        calls: how often.
        clock: of the times, ns.
        native_id: of the thread.
        **changes: of fields of the head.
    """
    now_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    usual = {"magic": MAGIC, "version": 1, "head_bytes": 192, "size": PAGE_BYTES}
    usual |= {"nodes_at": NODES_AT, "threads_at": THREADS_AT, "functions_at": FUNCTIONS_AT, "text_at": TEXT_AT}
    counts = {"sequence": 0, "reader": 0, "nodes": 4, "threads": 2, "functions": 2, "text_bytes": len(TEXT)}
    values = usual | counts | {"clock": clock} | changes
    found = bytearray(PAGE_BYTES)
    struct.pack_into("<QIIQQQQQ", found, 0, *(values[name] for name in usual))
    struct.pack_into("<I", found, 72, values["clock"])
    struct.pack_into("<4Q", found, 80, 0, now_ns, 1, now_ns + 1)
    struct.pack_into("<Q5I", found, SEQUENCE_AT, *(values[name] for name in counts))
    for number, (parent, function, count) in enumerate([(0, 0, 0), (NO_INDEX, 0, 0), (NO_INDEX, 1, 0), (2, 1, calls)]):
        figures = (0, count, 10 * count, 0, 0)
        struct.pack_into("<5Q6I", found, NODES_AT + 64 * number, *figures, parent, 0, function, 0, 0, 0)
    struct.pack_into("<3Q6Ii3I", found, THREADS_AT, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, ENDED, 0, 0)
    thread = (IDENT, now_ns if clock == CLOCK_WALL else 0, 0, 2, 3, 3, 0, 14, 10, native_id, 0, 0, 0)
    struct.pack_into("<3Q6Ii3I", found, THREADS_AT + 64, *thread)
    struct.pack_into("<8I", found, FUNCTIONS_AT + 32, 0, 1, 0, 4, 4, 4, 8, 6)
    found[TEXT_AT : TEXT_AT + len(TEXT)] = TEXT
    return found


def sealed(content: bytes, seals: int = SEALS) -> int:
    """A memfd."""
    descriptor = os.memfd_create("tables", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, content)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor
