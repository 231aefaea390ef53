"""The pending-call ring: {PyRun_SimpleString, text} for the next safe point of a running interpreter (3.9 to 3.13).

PyRun_SimpleString has the signature of a pending call, so no code is brought along. The ring is written only while all
threads are stopped, its lock is free and nobody is working it off (Python/ceval.c, ceval_gil.c).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.attach.layout import CALLS_TO_DO_BIT
from execd.errors import AttachBusy

if TYPE_CHECKING:
    from execd.attach.interpreter import Interpreter
    from execd.attach.layout import PendingCalls

_SEMAPHORE_FREE = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A queued call: its slot, and what the slot held before."""

    index: int
    slot_address: int
    text_address: int
    before: bytes


def queue(found: Interpreter, text_address: int) -> Entry:
    """Queue the text. All threads must be stopped. Raises AttachBusy where the ring cannot be written now."""
    ring = _ring(found)
    memory, main = found.memory, found.main
    _require_quiet(found, ring, main)
    first, last = memory.read_u32(main + ring.first), memory.read_u32(main + ring.last)
    after = (last + 1) % ring.slots
    if after == first:
        raise AttachBusy("the target's pending calls are full", remedy="try again")
    slot = main + ring.calls + last * ring.slot_size
    before = memory.read(slot, ring.slot_size)
    content = struct.pack("<QQ", found.functions["PyRun_SimpleString"], text_address)
    memory.write(slot, content + bytes(ring.slot_size - len(content)))
    memory.write_u32(main + ring.last, after)
    count = 1 if ring.count_is_flag else memory.read_u32(main + ring.count) + 1
    memory.write_u32(main + ring.count, count)
    wake(found)
    return Entry(last, slot, text_address, before)


def wake(found: Interpreter) -> None:
    """Make the interpreter look at its pending calls. All threads must be stopped."""
    memory, layout = found.memory, found.layout
    if not layout.eval_breaker_is_per_thread:
        memory.write_u32(found.main + layout.eval_breaker, 1)
        return
    for state in found.thread_states():
        address = state.address + layout.eval_breaker
        memory.write_u64(address, memory.read_u64(address) | CALLS_TO_DO_BIT)


def cancel(found: Interpreter, entry: Entry) -> bool:
    """Take the entry out again if it has not run. All threads must be stopped.

    Returns:
        False where it has run, or runs now, or others stand behind it: then it will run, and find a closed link.

    Raises:
        AttachBusy: the ring is in use at this instant.
    """
    ring = _ring(found)
    memory, main = found.memory, found.main
    _require_quiet(found, ring, main)
    _, argument = struct.unpack("<QQ", memory.read(entry.slot_address, 16))
    first, last = memory.read_u32(main + ring.first), memory.read_u32(main + ring.last)
    queued = first != last and argument == entry.text_address and last == (entry.index + 1) % ring.slots
    if not queued:
        return False
    memory.write_u32(main + ring.last, entry.index)
    memory.write(entry.slot_address, entry.before)
    if not ring.count_is_flag:
        memory.write_u32(main + ring.count, memory.read_u32(main + ring.count) - 1)
    elif first == entry.index:
        memory.write_u32(main + ring.count, 0)
    return True


def _ring(found: Interpreter) -> PendingCalls:
    ring = found.layout.pending
    if ring is None:
        raise AttachBusy("no pending-call ring is known for this version")
    return ring


def _require_quiet(found: Interpreter, ring: PendingCalls, main: int) -> None:
    memory = found.memory
    if ring.lock_is_mutex:
        free = memory.read(main + ring.lock, 1) == b"\0"
    else:
        # PyThread_type_lock is a sem_t here (Python/thread_pthread.h, USE_SEMAPHORES): 1 in its low word means free.
        free = memory.read_u32(memory.read_u64(main + ring.lock)) == _SEMAPHORE_FREE
    if not free or (ring.idle_word is not None and memory.read_u32(main + ring.idle_word)):
        raise AttachBusy("the target is working on its pending calls at this instant", remedy="try again")
