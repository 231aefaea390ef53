"""The pending-call ring: a call for the next safe point of a running interpreter, of call.py's function.

Where the target may have no page for that, it is {PyRun_SimpleString, text}, which has the signature too. The ring is
written only while all threads are stopped, its lock is free and nobody is working it off (Python/ceval.c, ceval_gil.c).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from execd.attach.layout import CALLS_TO_DO_BIT, SIGNALS_PENDING
from execd.errors import AttachBusy

if TYPE_CHECKING:
    from execd.attach.interpreter import Interpreter
    from execd.attach.layout import PendingCalls

_SEMAPHORE_FREE = 1
_SLOT = struct.Struct("<QQ")
# Words of which each is a reason for eval_breaker to be set, beside the ring: COMPUTE_EVAL_BREAKER of 3.9 to 3.12.
# In _PyRuntime signals_pending, and in 3.12 calls_to_do of the ring of the main thread alone; from 3.13 its npending.
_REASONS_IN_RUNTIME: dict[tuple[int, int], tuple[int, ...]] = {
    **{version: (place,) for version, place in SIGNALS_PENDING.items()},
    (3, 12): (SIGNALS_PENDING[3, 12], 2032),
    (3, 13): (2652,),
    (3, 14): (2860,),
    (3, 15): (2988,),
}
# In the interpreter gil_drop_request, in 3.12 gc_scheduled, and async_exc.
_REASONS_IN_INTERPRETER = {(3, 9): (76, 92), (3, 10): (72, 92), (3, 11): (104, 124), (3, 12): (372, 396, 420)}


@dataclass(frozen=True, slots=True)
class Entry:
    """A queued call: its slot, what the slot held before, and the flags that only we have set."""

    index: int
    slot_address: int
    argument: int
    before: bytes
    flags: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Ring:
    """The ring as it stands: its words, and whether it may be written now."""

    first: int
    last: int
    count: int
    quiet: bool


def queue(found: Interpreter, argument: int, function: int | None = None) -> Entry:
    """Queue a call, of PyRun_SimpleString where no other function is given.

    All threads must be stopped. Raises AttachBusy where the ring cannot be written now.
    """
    places = _places(found)
    ring = _require_quiet(found, places)
    memory, main = found.memory, found.main
    after = (ring.last + 1) % places.slots
    if after == ring.first:
        raise AttachBusy("the target's pending calls are full", remedy="try again")
    slot = main + places.calls + ring.last * places.slot_size
    before = memory.read(slot, places.slot_size)
    content = _SLOT.pack(function or found.functions["PyRun_SimpleString"], argument)
    memory.write(slot, content.ljust(places.slot_size, b"\0"))
    memory.write_u32(main + places.last, after)
    memory.write_u32(main + places.count, 1 if places.count_is_flag else ring.count + 1)
    return Entry(ring.last, slot, argument, before, _set_flags(found))


def is_queued(found: Interpreter, entry: Entry) -> bool:
    """Return whether the entry still waits. Reads only; the target may run meanwhile."""
    ring = _look(found, _places(found))
    _, argument = _SLOT.unpack(found.memory.read(entry.slot_address, _SLOT.size))
    return ring.first != ring.last and argument == entry.argument


def is_awake(found: Interpreter) -> bool:
    """Return whether the interpreter has been told to look at its pending calls. Reads only."""
    return all(found.memory.read_u32(flag) & bit for flag, bit in _flags(found))


def wake(found: Interpreter, entry: Entry) -> Entry:
    """Make the interpreter look at the ring again. All threads must be stopped. Returns the entry as it is now."""
    return replace(entry, flags=entry.flags | _set_flags(found))


def cancel(found: Interpreter, entry: Entry) -> bool:
    """Take the entry out again if it has not run. All threads must be stopped.

    Returns:
        False where it has run, or runs now, or others stand behind it: then it will run, and find a closed link.

    Raises:
        AttachBusy: the ring is in use at this instant.
    """
    places = _places(found)
    ring = _require_quiet(found, places)
    memory, main = found.memory, found.main
    if not is_queued(found, entry) or ring.last != (entry.index + 1) % places.slots:
        return False
    memory.write_u32(main + places.last, entry.index)
    memory.write(entry.slot_address, entry.before)
    if not places.count_is_flag:
        memory.write_u32(main + places.count, ring.count - 1)
    elif ring.first == entry.index:
        memory.write_u32(main + places.count, 0)
    _clear_flags(found, entry.flags)
    return True


def _flags(found: Interpreter) -> list[tuple[int, int]]:
    """Return where eval_breaker lies, and the bit of it that stands for pending calls: one, or one a thread."""
    place = found.layout.eval_breaker
    if not found.layout.eval_breaker_is_per_thread:
        return [(found.main + place, 1)]
    return [(state.address + place, CALLS_TO_DO_BIT) for state in found.thread_states()]


def _set_flags(found: Interpreter) -> frozenset[int]:
    """Set every flag. Returns those that were not."""
    before = {flag: (found.memory.read_u32(flag), bit) for flag, bit in _flags(found)}
    ours = {flag: value | bit for flag, (value, bit) in before.items() if not value & bit}
    for flag, value in ours.items():
        found.memory.write_u32(flag, value)
    return frozenset(ours)


def _clear_flags(found: Interpreter, ours: frozenset[int]) -> None:
    """Clear the flags that we have set, where nobody else needs them by now: an eval_breaker that stays set is slow."""
    places, version, memory = _places(found), found.layout.version, found.memory
    if version not in _REASONS_IN_RUNTIME:
        return  # the next look at the ring clears them
    reasons = [found.main + places.count]
    reasons += [found.runtime + place for place in _REASONS_IN_RUNTIME[version]]
    reasons += [found.main + place for place in _REASONS_IN_INTERPRETER.get(version, ())]
    if any(memory.read_u32(reason) for reason in reasons):
        return
    for flag, bit in _flags(found):
        if flag in ours:
            memory.write_u32(flag, memory.read_u32(flag) & ~bit)


def _places(found: Interpreter) -> PendingCalls:
    places = found.layout.pending
    if places is None:
        raise AttachBusy("no pending-call ring is known for this version")
    return places


def _require_quiet(found: Interpreter, places: PendingCalls) -> _Ring:
    ring = _look(found, places)
    if not ring.quiet:
        raise AttachBusy("the target is working on its pending calls at this instant", remedy="try again")
    return ring


def _look(found: Interpreter, places: PendingCalls) -> _Ring:
    """Read the whole ring in one go: each transfer costs the target time while it is stopped."""
    start = min(places.lock, places.lock if places.idle_word is None else places.idle_word)
    block = found.memory.read(found.main + start, places.last + 4 - start)

    def word(offset: int, size: int = 4) -> int:
        return int.from_bytes(block[offset - start : offset - start + size], "little")

    if places.lock_is_mutex:
        free = word(places.lock, 1) == 0
    else:
        # PyThread_type_lock is a sem_t here (Python/thread_pthread.h, USE_SEMAPHORES): 1 in its low word means free.
        free = found.memory.read_u32(word(places.lock, 8)) == _SEMAPHORE_FREE
    idle = places.idle_word is None or word(places.idle_word) == 0
    return _Ring(word(places.first), word(places.last), word(places.count), free and idle)
