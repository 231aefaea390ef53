"""The ring of pending calls, in memory of our own: what is queued, what is taken out, and when hands are kept off."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from execd.attach import pending, x86_64
from execd.attach.interpreter import Interpreter
from execd.attach.layout import CALLS_TO_DO_BIT, DEBUG_OFFSETS_SIZE, Layout, PendingCalls, layout_for
from execd.errors import AttachBusy
from hypothesis import given
from hypothesis import strategies as st

MAIN = 0x10000
SIZE = 0x10000
LOCK = MAIN + SIZE - 64
STATE = MAIN + SIZE - 4096
RUNTIME = MAIN + SIZE // 2
SIMPLE_STRING, TEXT = 0x7F00DEAD, 0x7F00BEEF
OTHERS = (0x1111, 0x2222)
BREAKER_OF_3_13 = 24


@dataclass
class FakeMemory:
    """Bytes from MAIN on."""

    block: bytearray = field(default_factory=lambda: bytearray(SIZE))

    def read(self, address: int, length: int) -> bytes:
        return bytes(self.block[address - MAIN : address - MAIN + length])

    def write(self, address: int, data: bytes) -> None:
        self.block[address - MAIN : address - MAIN + len(data)] = data

    def read_u32(self, address: int) -> int:
        return int.from_bytes(self.read(address, 4), "little")

    def read_u64(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8), "little")

    def write_u32(self, address: int, value: int) -> None:
        self.write(address, value.to_bytes(4, "little"))

    def write_u64(self, address: int, value: int) -> None:
        self.write(address, value.to_bytes(8, "little"))


def layout_of(version: tuple[int, int]) -> Layout:
    if version < (3, 13):
        return layout_for(version, b"")
    words = [0] * (DEBUG_OFFSETS_SIZE // 8)
    words[0] = int.from_bytes(b"xdebugpy", "little")
    # threads_head, ceval_gil, and of a thread state next, interp, thread_id.
    words[9], words[14], words[21], words[22], words[24] = 7368, 80, 8, 16, 152
    return layout_for(version, struct.pack(f"<{len(words)}Q", *words))


@dataclass
class Target:
    """An interpreter whose ring is free and empty, with one thread state."""

    version: tuple[int, int]
    memory: FakeMemory = field(default_factory=FakeMemory)

    def __post_init__(self) -> None:
        self.layout = layout_of(self.version)
        functions = {"PyRun_SimpleString": SIMPLE_STRING}
        gadgets = x86_64.Gadgets(1, 2)
        self.found = Interpreter(
            cast("Any", self.memory), self.version, "", RUNTIME, MAIN, functions, self.layout, gadgets
        )
        if not self.ring.lock_is_mutex:
            self.memory.write_u64(MAIN + self.ring.lock, LOCK)
            self.memory.write_u32(LOCK, 1)
        self.memory.write_u64(MAIN + self.layout.threads_head, STATE)

    @property
    def ring(self) -> PendingCalls:
        assert self.layout.pending is not None
        return self.layout.pending

    def set_indexes(self, first: int, last: int) -> None:
        self.memory.write_u32(MAIN + self.ring.first, first)
        self.memory.write_u32(MAIN + self.ring.last, last)
        waiting = (last - first) % self.ring.slots
        self.memory.write_u32(MAIN + self.ring.count, min(waiting, 1) if self.ring.count_is_flag else waiting)

    def indexes(self) -> tuple[int, int, int]:
        return tuple(self.memory.read_u32(MAIN + place) for place in (self.ring.first, self.ring.last, self.ring.count))  # type: ignore[return-value]

    def slot(self, index: int) -> tuple[int, int]:
        return struct.unpack("<QQ", self.memory.read(MAIN + self.ring.calls + index * self.ring.slot_size, 16))

    def fill_slot(self, index: int, content: tuple[int, int]) -> None:
        self.memory.write(MAIN + self.ring.calls + index * self.ring.slot_size, struct.pack("<QQ", *content))

    def breaker(self) -> int:
        if self.layout.eval_breaker_is_per_thread:
            return self.memory.read_u64(STATE + self.layout.eval_breaker) & CALLS_TO_DO_BIT
        return self.memory.read_u32(MAIN + self.layout.eval_breaker)


@pytest.fixture(params=[(3, 9), (3, 10), (3, 11), (3, 12), (3, 13)], ids=lambda version: f"{version[0]}.{version[1]}")
def target(request: pytest.FixtureRequest) -> Target:
    return Target(request.param)


@pytest.mark.parametrize("start", [0, 5, -1])
def test_the_text_stands_in_the_next_slot_and_the_interpreter_is_told(target: Target, start: int) -> None:
    start %= target.ring.slots
    target.set_indexes(start, start)
    entry = pending.queue(target.found, TEXT)
    assert target.slot(start) == (SIMPLE_STRING, TEXT)
    assert target.indexes() == (start, (start + 1) % target.ring.slots, 1)
    assert target.breaker()
    assert pending.is_queued(target.found, entry)


def test_other_calls_stay_before_it(target: Target) -> None:
    target.fill_slot(0, OTHERS)
    target.set_indexes(0, 1)
    pending.queue(target.found, TEXT)
    assert (target.slot(0), target.slot(1)) == (OTHERS, (SIMPLE_STRING, TEXT))
    assert target.indexes()[:2] == (0, 2)
    assert target.indexes()[2] == (1 if target.ring.count_is_flag else 2)


def untouched_by(target: Target, match: str) -> None:
    before = bytes(target.memory.block)
    with pytest.raises(AttachBusy, match=match):
        pending.queue(target.found, TEXT)
    assert bytes(target.memory.block) == before


@pytest.mark.parametrize("first", [0, 7])
def test_a_full_ring_is_left_alone(target: Target, first: int) -> None:
    target.set_indexes(first, (first - 1) % target.ring.slots)
    untouched_by(target, "full")


def test_a_ring_whose_lock_is_taken_is_left_alone(target: Target) -> None:
    if target.ring.lock_is_mutex:
        target.memory.write(MAIN + target.ring.lock, b"\1")
    else:
        target.memory.write_u32(LOCK, 0)
    untouched_by(target, "working on")


@pytest.mark.parametrize("version", [(3, 12), (3, 13)])
def test_a_ring_that_is_being_worked_off_is_left_alone(version: tuple[int, int]) -> None:
    target = Target(version)
    assert target.ring.idle_word is not None
    target.memory.write_u32(MAIN + target.ring.idle_word, 1)
    untouched_by(target, "working on")


def test_what_is_taken_out_leaves_the_ring_as_it_was(target: Target) -> None:
    target.set_indexes(3, 3)
    target.fill_slot(3, OTHERS)
    before = bytes(target.memory.block)
    entry = pending.queue(target.found, TEXT)
    assert pending.cancel(target.found, entry)
    assert not pending.is_queued(target.found, entry)
    assert bytes(target.memory.block) == before


def test_what_has_run_is_not_taken_out(target: Target) -> None:
    entry = pending.queue(target.found, TEXT)
    target.set_indexes(1, 1)
    before = bytes(target.memory.block)
    assert not pending.is_queued(target.found, entry)
    assert not pending.cancel(target.found, entry)
    assert bytes(target.memory.block) == before


def test_what_others_stand_behind_is_not_taken_out(target: Target) -> None:
    entry = pending.queue(target.found, TEXT)
    target.fill_slot(1, OTHERS)
    target.set_indexes(0, 2)
    before = bytes(target.memory.block)
    assert not pending.cancel(target.found, entry)
    assert bytes(target.memory.block) == before


def test_what_is_taken_out_while_the_ring_is_in_use_is_tried_again(target: Target) -> None:
    entry = pending.queue(target.found, TEXT)
    if target.ring.lock_is_mutex:
        target.memory.write(MAIN + target.ring.lock, b"\1")
    else:
        target.memory.write_u32(LOCK, 0)
    with pytest.raises(AttachBusy):
        pending.cancel(target.found, entry)
    assert pending.is_queued(target.found, entry)


@given(st.integers(0, 400), st.integers(0, 31))
def test_in_any_ring_of_others_the_text_comes_last_and_can_be_taken_back(start: int, others: int) -> None:
    for version in ((3, 11), (3, 13)):
        target = Target(version)
        first = start % target.ring.slots
        last = (first + min(others, target.ring.slots - 2)) % target.ring.slots
        target.set_indexes(first, last)
        before = target.indexes()
        entry = pending.queue(target.found, TEXT)
        assert entry.index == last
        assert target.indexes()[0] == first
        assert pending.cancel(target.found, entry)
        assert target.indexes() == before


def test_a_version_without_a_known_ring_has_to_wait() -> None:
    target = Target((3, 11))
    without = Interpreter(
        cast("Any", target.memory),
        (3, 11),
        "",
        0,
        MAIN,
        {},
        Layout(**{name: getattr(target.layout, name) for name in Layout.__slots__ if name != "pending"}, pending=None),
        x86_64.Gadgets(1, 2),
    )
    with pytest.raises(AttachBusy, match="no pending-call ring"):
        pending.queue(without, TEXT)
