"""Threads of a target held still, for as short as can be, and let go whatever happens."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.attach import process, x86_64
from execd.attach.memory import Memory, Unmapped
from execd.errors import AttachBusy, NotSupported, TargetGone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execd.attach.ptrace import Ptrace

# Python code on a borrowed thread may need as much; a chain of system calls needs the second figure.
PYTHON_STACK = 256 << 10
CHAIN_STACK = 24 << 10
_RSEQ_CRITICAL_SECTION = 8


@dataclass(slots=True)
class StopClock:
    """How long threads were held, summed over them, nanoseconds."""

    held_ns: int = 0


class Stopper:
    """Stops threads of one target by ptrace."""

    def __init__(self, pid: int, ptrace: Ptrace, clock: StopClock, mappings: list[process.Mapping]) -> None:
        self.pid = pid
        self.ptrace = ptrace
        self._clock = clock
        self._memory = Memory(pid)
        # Taken before anything is stopped: reading the map of a large process takes longer than all else together.
        self._stacks = _stack_ranges(pid, mappings)

    @contextmanager
    def one(self, tid: int) -> Iterator[None]:
        """Hold one thread."""
        self.ptrace.seize(tid)
        began = time.perf_counter_ns()
        try:
            self.ptrace.stop(tid)
            yield
        finally:
            self._release(tid, began)

    @contextmanager
    def all(self) -> Iterator[list[int]]:
        """Hold every thread, those included that start while we are at it. Yields their ids, the main one first."""
        held: dict[int, int] = {}
        try:
            while new := [tid for tid in process.threads(self.pid) if tid not in held]:
                for tid in new:
                    self._hold(tid, held)
            yield list(held)
        finally:
            for tid, began in held.items():
                self._release(tid, began)

    def _release(self, tid: int, began: int) -> None:
        # The thread runs from within the call on, often in our place: the call's return says nothing of the stop.
        self._clock.held_ns += time.perf_counter_ns() - began
        self.ptrace.detach(tid)

    def _hold(self, tid: int, held: dict[int, int]) -> None:
        try:
            self.ptrace.seize(tid)
            held[tid] = time.perf_counter_ns()
            self.ptrace.stop(tid)
        except TargetGone:
            # A thread may end at any time; the process lives while its main thread does.
            if tid == self.pid:
                raise

    def registers(self, tid: int) -> x86_64.Registers:
        """Return the registers of a stopped thread. Raises NotSupported for 32-bit code."""
        registers = x86_64.Registers.unpack(self.ptrace.registers(tid))
        if not registers.is_64_bit:
            raise NotSupported(f"thread {tid} runs 32-bit code", tid=tid)
        return registers

    def run_chain(self, tid: int, steps: list[x86_64.Step], gadgets: x86_64.Gadgets, text: bytes, room: int) -> None:
        """Make a stopped thread run steps and go on as it was; they run once it is let go.

        Args:
            tid: a stopped thread.
            steps: see x86_64.build_chain.
            gadgets: of the target.
            text: bytes that the steps point to.
            room: stack that the steps need, bytes.

        Raises:
            AttachBusy: not at this instant: too little stack, or inside of a restartable sequence.
        """
        registers = self.registers(tid)
        self._refuse_restartable_sequence(tid)
        self._require_stack(tid, registers["rsp"], room)
        state = self.ptrace.extended_state(tid)
        mask = self.ptrace.signal_mask(tid)
        chain, _ = x86_64.build_chain(registers, state, mask, steps, gadgets, text)
        try:
            self._memory.write(chain.address, chain.block)
        except Unmapped:
            raise AttachBusy(f"the stack of thread {tid} ends below its stack pointer", tid=tid) from None
        # From here on nothing of ours is needed: the thread restores itself.
        self.ptrace.set_registers(tid, chain.start.pack())

    def _refuse_restartable_sequence(self, tid: int) -> None:
        """A thread inside of an rseq critical section would come back into the midst of it (kernel/rseq.c)."""
        area = self.ptrace.rseq(tid)
        if area and self._memory.read_u64(area + _RSEQ_CRITICAL_SECTION):
            raise AttachBusy(f"thread {tid} is inside of a restartable sequence", tid=tid)

    def _require_stack(self, tid: int, stack_pointer: int, room: int) -> None:
        for start, end in self._stacks:
            if start <= stack_pointer < end:
                if stack_pointer - start >= room:
                    return
                break
        raise AttachBusy(f"thread {tid} has less than {room >> 10} KiB of stack left", tid=tid)


def _stack_ranges(pid: int, mappings: list[process.Mapping]) -> list[tuple[int, int]]:
    """Return where stacks can lie: every private writable mapping, the main thread's with the room that it may grow."""
    limit = process.stack_limit(pid)
    ranges = []
    for mapping in mappings:
        if mapping.permissions.startswith("rw"):
            start = min(mapping.start, mapping.end - limit) if mapping.path == "[stack]" else mapping.start
            ranges.append((start, mapping.end))
    return ranges
