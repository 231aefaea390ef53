"""Threads of a target held still, for as short as can be, and let go whatever happens."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.attach import process, waiting, x86_64
from execd.attach.memory import Memory, Unmapped
from execd.errors import AttachBusy, NotSupported, TargetGone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from execd.attach.ptrace import Ptrace

# Python code on a borrowed thread may need as much; a chain of system calls needs the second figure.
PYTHON_STACK = 256 << 10
CHAIN_STACK = 24 << 10
_RSEQ_CRITICAL_SECTION = 8


@dataclass(slots=True)
class StopClock:
    """How long threads were held, nanoseconds.

    Attributes:
        held_ns: summed over all threads and stops.
        longest_ns: what the thread had to wait that was held longest at once.
        span_ns: from the first stop to the last release, summed over what was done at once.
    """

    held_ns: int = 0
    longest_ns: int = 0
    span_ns: int = 0

    def add(self, began: list[int], ended: list[int]) -> None:
        """Count threads that were held at once: when each was stopped and let go."""
        spans = [end - begin for begin, end in zip(began, ended, strict=True)]
        self.held_ns += sum(spans)
        self.longest_ns = max(self.longest_ns, *spans)
        self.span_ns += max(ended) - min(began)


class Stopper:
    """Stops threads of one target by ptrace."""

    def __init__(self, pid: int, ptrace: Ptrace, clock: StopClock, mappings: list[process.Mapping] | None) -> None:
        self.pid = pid
        self.ptrace = ptrace
        self._clock = clock
        self._memory = Memory(pid)
        # Taken before anything is stopped: reading the map of a large process takes longer than all else together.
        self._stacks = None if mappings is None else _stack_ranges(pid, mappings)
        # Threads that were given a chain, and their own signal masks.
        self.lent: dict[int, int] = {}
        # Of the thread that is held alone: when it began the wait that it was found in.
        self._began_ns: int | None = None

    @contextmanager
    def one(self, tid: int) -> Iterator[None]:
        """Hold one thread. Raises AttachBusy where it cannot be held now, or has ended, TargetGone of the main one."""
        self._refuse_unstoppable([tid])
        self._began_ns = waiting.began_ns(self.pid, tid)
        try:
            with self._held(tid):
                yield
        except TargetGone as error:
            if tid == self.pid:
                raise
            raise AttachBusy(error.message, remedy="try again", tid=tid) from None

    @contextmanager
    def _held(self, tid: int) -> Iterator[None]:
        self.ptrace.seize(tid)
        began = time.perf_counter_ns()
        try:
            self.ptrace.stop(tid)
            yield
        finally:
            # The thread runs from within the call on, often in our place: the call's return says nothing of the stop.
            ended = time.perf_counter_ns()
            self.ptrace.detach(tid)
            self._clock.add([began], [ended])

    @contextmanager
    def all(self) -> Iterator[list[int]]:
        """Hold every thread, those included that start while we are at it. Yields their ids, the main one first.

        All are asked to stop before the first is waited for: they come to it side by side.
        """
        held: dict[int, int] = {}
        self._refuse_unstoppable(process.threads(self.pid))
        try:
            while new := [tid for tid in process.threads(self.pid) if tid not in held]:
                self._hold(new, held)
            yield list(held)
        finally:
            self._release(held)

    def _refuse_unstoppable(self, tids: list[int]) -> None:
        """Some threads do not stop before the end of what they are in: all others would be held until then."""
        if waiting.is_frozen(self.pid):
            message = f"process {self.pid} is frozen by its cgroup"
            raise AttachBusy(message, remedy="thaw it: resume its container", tid=self.pid)
        for tid in tids:
            state = process.state(self.pid, tid)
            if state == "D":
                raise AttachBusy(f"thread {tid} is in an uninterruptible system call", remedy="try again", tid=tid)
            self._refuse_write(tid, state)

    def _refuse_write(self, tid: int, state: str) -> None:
        """A write that waits for room ends at a stop with what it has written: a program may not expect that.

        CPython's own sys.stdout loses the rest where it is unbuffered (TextIOWrapper over FileIO).
        """
        if state == "S" and waiting.call_number(self.pid, tid) in waiting.WRITING_CALLS:
            message = f"thread {tid} is in the midst of a write that waits for its reader"
            raise AttachBusy(message, remedy="try again when it is written", tid=tid)

    def _hold(self, new: list[int], held: dict[int, int]) -> None:
        seized: list[int] = []
        try:
            seized += (tid for tid in new if self._try(self.ptrace.seize, tid))
        finally:
            # Also where one cannot be seized: what is never stopped could not be let go.
            for tid in seized:
                held[tid] = time.perf_counter_ns()
                self._try(self.ptrace.interrupt, tid)
        for tid in seized:
            self._try(self.ptrace.await_stop, tid)

    def _try(self, call: Callable[[int], None], tid: int) -> bool:
        """Make a call for a thread that may end at any time; the process lives while its main thread does."""
        try:
            call(tid)
        except TargetGone:
            if tid == self.pid:
                raise
            return False
        return True

    def _release(self, held: dict[int, int]) -> None:
        ended = []
        for tid in held:
            ended.append(time.perf_counter_ns())
            self.ptrace.detach(tid)
        if held:
            self._clock.add(list(held.values()), ended)

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
        if registers.sleeps_on:
            raise AttachBusy(f"thread {tid} is in a sleep that went on after a stop", tid=tid)
        goes_on = self._goes_on(registers)
        if goes_on != registers:
            self._refuse_pending_signal(tid, mask)
        chain, _ = x86_64.build_chain(
            registers, state, mask, steps, gadgets, text, goes_on, self.ptrace.usual_signal_frame
        )
        try:
            self._memory.write(chain.address, chain.block)
        except Unmapped:
            raise AttachBusy(f"the stack of thread {tid} ends below its stack pointer", tid=tid) from None
        # From here on nothing of ours is needed: the thread restores itself.
        self.ptrace.set_registers(tid, chain.start.pack())
        # A signal must not be taken before the first step blocks it. Not done earlier: the chain gives the mask back.
        self.ptrace.set_signal_mask(tid, x86_64.CHAIN_MASK)
        self.lent[tid] = mask

    def _goes_on(self, registers: x86_64.Registers) -> x86_64.Registers:
        """Return the registers to go on with: a wait whose time limit is in a register ends when it would have.

        A sleep whose time is in the caller's memory is slept again as a whole: that memory is not ours to change, and
        there is none of ours that a signal could not overwrite before the kernel reads it.
        """
        goes_on = registers.resumed()
        if self._began_ns is None or goes_on == registers or registers.timespec_register:
            return goes_on
        passed_ns = max(time.monotonic_ns() - self._began_ns, 0)
        return goes_on.but(rdx=registers.with_poll_time_left(passed_ns)["rdx"])

    def _refuse_pending_signal(self, tid: int, mask: int) -> None:
        """A signal on its way must find the thread in its call: the call, run again, would outlive the handler."""
        if process.pending_signals(self.pid, tid) & ~mask:
            raise AttachBusy(f"a signal is on its way to thread {tid}", tid=tid)

    def _refuse_restartable_sequence(self, tid: int) -> None:
        """A thread inside of an rseq critical section would come back into the midst of it (kernel/rseq.c)."""
        area = self.ptrace.rseq(tid)
        if area and self._memory.read_u64(area + _RSEQ_CRITICAL_SECTION):
            raise AttachBusy(f"thread {tid} is inside of a restartable sequence", tid=tid)

    def _require_stack(self, tid: int, stack_pointer: int, room: int) -> None:
        if self._stacks is None:
            try:
                # What can be read through is no guard page, and what is not a stack's cannot be written to.
                self._memory.read(stack_pointer - room, room)
            except Unmapped:
                raise AttachBusy(f"thread {tid} has less than {room >> 10} KiB of stack left", tid=tid) from None
            return
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
