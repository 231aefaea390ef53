"""x86_64 Linux: registers, and signal frames that make a thread run a chain of steps and then go on as it was.

A chain is one block on the thread's own stack, below the red zone, built while it is stopped:

    high   texts | XSAVE area | frame of "as it was" | ... | frame of step 2 | frame of step 1     low

Each frame is the ucontext that rt_sigreturn reads. The thread is started at libc's rt_sigreturn trampoline with its
stack pointer on the first frame: the kernel loads every register from it, the step runs, its `ret` takes the address
of the trampoline from the stack and the stack pointer then stands on the next frame. The last frame holds all
registers, the FP state and the signal mask as they were. So one PTRACE_SETREGSET starts everything, nothing of ours is
needed to finish it, and no page of code is written (arch/x86/kernel/signal_64.c, Linux 6.x).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

MACHINE = "x86_64"
_REGISTER_NAMES = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
    *("orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"),
)
_REGISTERS = struct.Struct("<27Q")
_USER_CODE_64 = 0x33
_RED_ZONE = 128
_SIGNED = 1 << 64
NO_SYSTEM_CALL = _SIGNED - 1

# Results that the kernel leaves in rax at a stop when it would run the call again (include/linux/errno.h).
_RESTART_RESULTS = {_SIGNED - 512, _SIGNED - 513, _SIGNED - 514, _SIGNED - 516}
_EINTR_RESULT = _SIGNED - 4
_SYSCALL_LENGTH = 2

# struct ucontext: flags, link, stack (address, flags, size), then struct sigcontext of 256 bytes with the general
# registers, the segments (cs, gs, fs, ss), err, trapno, oldmask, cr2 and the address of the FP state; last the mask.
_FRAME = struct.Struct("<QQQiiQ18Q4H32xQ64xQ")
_SIGCONTEXT_ORDER = (
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"),
    *("rdi", "rsi", "rbp", "rbx", "rdx", "rax", "rcx", "rsp", "rip", "eflags"),
)
_UC_FP_XSTATE = 1
_UC_SIGCONTEXT_SS = 2
_UC_STRICT_RESTORE_SS = 4
# Not a mode that sigaltstack knows: rt_sigreturn ignores the EINVAL, and the thread's alternate stack stays as it is.
_KEEP_ALTERNATE_STACK = 7
_FRAME_SIZE = _FRAME.size
_HEAD = (_UC_FP_XSTATE | _UC_SIGCONTEXT_SS | _UC_STRICT_RESTORE_SS, 0, 0, _KEEP_ALTERNATE_STACK, 0, 0)
_NO_ARGUMENTS = (0, 0, 0, 0, 0, 0)
# All signals but 32 and 33: with those glibc reaches every thread in pthread_cancel and setuid, and the agent's thread
# inherits this mask.
CHAIN_MASK = NO_SYSTEM_CALL & ~(0b11 << 31)
# Stands for the address of the text among the arguments of a step.
TEXT = -1
_CLEAR_FLAGS = 0x202

# struct _fpx_sw_bytes (arch/x86/include/uapi/asm/sigcontext.h): it lies in the legacy area's software bytes.
_FX_SOFTWARE_BYTES = 464
_FX_MAGIC1 = 0x46505853
_FX_MAGIC2 = 0x46505845
_LEGACY_SIZE = 512
# XSTATE_BV, the first word of the XSAVE header: the features that are not in their initial state.
_IN_USE = 512

# mov $15, %rax; syscall: libc's __restore_rt, in glibc and musl alike.
TRAMPOLINE = bytes.fromhex("48c7c00f0000000f05")
SYSCALL_RETURN = bytes.fromhex("0f05c3")

MMAP, SOCKETPAIR, TIME, MEMFD_CREATE, CLOSE, MUNMAP = 9, 53, 201, 319, 3, 11
EPOLL_CALLS = {232, 281, 441}
FUTEX = 202
# Calls that wait with no lock of the C library held, so that their thread can be lent Python code to run:
# read, poll, select, pause, nanosleep, recvfrom, recvmsg, accept, wait4, rt_sigtimedwait, rt_sigsuspend,
# clock_nanosleep, epoll_wait, waitid, pselect6, ppoll, epoll_pwait, accept4, epoll_pwait2.
BLOCKING_CALLS = {0, 7, 23, 34, 35, 43, 45, 47, 61, 128, 130, 230, 247, 270, 271, 288} | EPOLL_CALLS
# What a poll, nanosleep, clock_nanosleep and a futex wait with a time limit become when they go on after a stop, by a
# SIGSTOP, a tracer or a freezer (ERESTART_RESTARTBLOCK); their arguments stay.
RESTART_SYSCALL = 219
# Calls whose time limit counts from their start, and where it is: poll, nanosleep, clock_nanosleep.
_POLL, _NANOSLEEP, _CLOCK_NANOSLEEP = 7, 35, 230
TIMED_CALLS = {_POLL, _NANOSLEEP, _CLOCK_NANOSLEEP}
_TIMER_ABSTIME = 1
_FUTEX_WAIT, _FUTEX_WAIT_BITSET = 0, 9
_FUTEX_COMMAND_MASK = 0x7F
# FUTEX_WAIT_BITSET as glibc waits with a time limit: private, by CLOCK_REALTIME, or both; and FUTEX_BITSET_MATCH_ANY.
_FUTEX_TIMED = {0x89, 0x109, 0x189}
_FUTEX_ALL_BITS = 0xFFFFFFFF
# What a program may map begins above it (vm.mmap_min_addr is 4096 or more), and no poll has more descriptors.
_LEAST_POINTER, _POLL_LIMIT = 4096, 65536
_EPOLL_TIMEOUT = 0xFFFFFFFF
_EPOLL_PWAIT2 = 441


@dataclass(frozen=True, slots=True)
class Registers:
    """struct user_regs_struct (arch/x86/include/asm/user_64.h)."""

    values: dict[str, int]

    @classmethod
    def unpack(cls, data: bytes) -> Registers:
        """Read the struct as PTRACE_GETREGSET gives it."""
        return cls(dict(zip(_REGISTER_NAMES, _REGISTERS.unpack(data), strict=True)))

    def pack(self) -> bytes:
        """Return the struct as PTRACE_SETREGSET takes it."""
        return _REGISTERS.pack(*(self.values[name] for name in _REGISTER_NAMES))

    def __getitem__(self, name: str) -> int:
        return self.values[name]

    def but(self, **changes: int) -> Registers:
        """Return a copy with other values."""
        return replace(self, values={**self.values, **changes})

    @property
    def is_64_bit(self) -> bool:
        """Whether the thread runs 64-bit code."""
        return self["cs"] == _USER_CODE_64

    @property
    def system_call(self) -> int | None:
        """The number of the call that the stop interrupted, None outside of one that waits."""
        interrupted = self["rax"] in _RESTART_RESULTS or self["rax"] == _EINTR_RESULT
        return self["orig_rax"] if self["orig_rax"] < 1 << 31 and interrupted else None

    @property
    def sleeps_on(self) -> bool:
        """Whether it is in a sleep that went on after a stop: what would be left of it only the kernel knows.

        Of the others a poll has descriptors, and a futex wait an operation: a small number that is not 0.
        """
        others = self["rdi"] >= _LEAST_POINTER and 0 < self["rsi"] < _POLL_LIMIT
        return self.system_call == RESTART_SYSCALL and not others

    def resumed(self) -> Registers:
        """Return the registers with which the thread goes on as if it had not been stopped.

        A call that the kernel would run again is run again from its `syscall` instruction. epoll_wait is not restarted
        by the kernel; without a time limit it can be, with one it returns EINTR as after every stop. So does a poll
        that was stopped before: what is left of its time is not known any more.
        """
        again = self["rax"] in _RESTART_RESULTS or (self["rax"] == _EINTR_RESULT and self._waits_forever)
        if self.system_call is None or not again:
            return self
        number = self["orig_rax"]
        if number == RESTART_SYSCALL:
            if not self._is_timed_futex:
                # A signal frame ends what the kernel would go on with; the caller counts the time that is left.
                return self.interrupted()
            # Its time limit is an instant: made anew it waits as long as it would have.
            number = FUTEX
        return self.but(rip=self["rip"] - _SYSCALL_LENGTH, rax=number)

    def interrupted(self) -> Registers:
        """Return the registers with which the call that the thread waits in returns EINTR."""
        return self.but(rax=_EINTR_RESULT, orig_rax=NO_SYSTEM_CALL)

    @property
    def timespec_register(self) -> str:
        """Which register points to the time that the thread sleeps for, "" where it sleeps for none."""
        if self.system_call == _NANOSLEEP:
            return "rdi"
        relative = self.system_call == _CLOCK_NANOSLEEP and not self["rsi"] & _TIMER_ABSTIME
        return "rdx" if relative else ""

    def with_poll_time_left(self, passed_ns: int) -> Registers:
        """Return the registers of a poll of which so much time is over; of any other call as they are."""
        limit_ms = self["rdx"] & 0xFFFFFFFF
        if self.system_call != _POLL or not 0 < limit_ms < 1 << 31:
            return self
        return self.but(rdx=max(limit_ms - passed_ns // 1_000_000, 0))

    @property
    def _is_timed_futex(self) -> bool:
        """Whether a call that went on after a stop is a futex wait, and no poll of just so many descriptors."""
        has_all_bits = self["r9"] & _FUTEX_ALL_BITS == _FUTEX_ALL_BITS
        return self["rsi"] in _FUTEX_TIMED and has_all_bits and self["r10"] >= _LEAST_POINTER and not self["rdi"] % 4

    @property
    def _waits_forever(self) -> bool:
        number = self["orig_rax"]
        if number == _EPOLL_PWAIT2:
            return self["r10"] == 0
        return number in EPOLL_CALLS and self["r10"] & _EPOLL_TIMEOUT == _EPOLL_TIMEOUT


@dataclass(frozen=True, slots=True)
class SignalFrame:
    """The size of the FP state in a signal frame, bytes, and its features, as XCR0 numbers them."""

    size: int
    features: int


@dataclass(frozen=True, slots=True)
class Gadgets:
    """Addresses in the target's C library: the rt_sigreturn trampoline, and `syscall; ret`."""

    trampoline: int
    system_call: int


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a chain: a function's address and its arguments, at most six integers."""

    function: int
    arguments: tuple[int, ...]
    system_call: int | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """A block to write at `address`, and the registers that start it."""

    address: int
    block: bytes
    start: Registers


def may_be_lent(call: int, second: int, *, is_gil: bool) -> bool:
    """Return whether a thread waits in a call with no lock of the C library held, so that it can run Python code.

    glibc waits for semaphores and condition variables with FUTEX_WAIT_BITSET, and in the locks of malloc, stdio and the
    loader with FUTEX_WAIT (sysdeps/nptl/futex-internal.c, lowlevellock.c): those must never be lent.

    Args:
        call: its number.
        second: of its arguments.
        is_gil: whether the first of them is an address within the GIL.
    """
    command = second & _FUTEX_COMMAND_MASK
    if call == FUTEX:
        return command == _FUTEX_WAIT_BITSET and not is_gil
    if call == RESTART_SYSCALL:
        # A poll or a futex wait: so it must be good as either.
        return command != _FUTEX_WAIT and not is_gil
    return call in BLOCKING_CALLS


def system_call(gadgets: Gadgets, number: int, *arguments: int) -> Step:
    """Return the step that makes a system call; a failure of it is not seen by the chain."""
    return Step(gadgets.system_call, arguments, number)


def place_of_text(registers: Registers, text: bytes) -> int:
    """Return the address at which build_chain lays a text."""
    return (registers["rsp"] - _RED_ZONE - len(text)) & ~63


def build_chain(
    registers: Registers,
    extended_state: bytes,
    signal_mask: int,
    steps: list[Step],
    gadgets: Gadgets,
    text: bytes = b"",
    goes_on: Registers | None = None,
    usual: SignalFrame | None = None,
) -> tuple[Chain, int]:
    """Lay out a chain on the stack of a stopped thread.

    Args:
        registers: of the thread, as they are at the stop.
        extended_state: its XSAVE area, PTRACE_GETREGSET's NT_X86_XSTATE.
        signal_mask: its lasting signal mask. During the steps every signal is blocked: a handler of the target would
            run in the midst of them and its effect on the interrupted call would be lost.
        steps: what to run, first to last. An argument of TEXT stands for the address of `text`.
        gadgets: of the target.
        text: bytes that the steps may point to.
        goes_on: the registers with which the thread goes on afterwards, where not with registers.resumed().
        usual: what a signal frame holds of the FP state of a process that has not asked for more; None: all.

    Returns:
        the chain, and the address of `text`.
    """
    text_address = place_of_text(registers, text)
    fp_state = _signal_frame_fp_state(extended_state, usual)
    fp_address = (text_address - len(fp_state)) & ~63
    frames = [_final_frame(goes_on or registers.resumed(), signal_mask, fp_address)]
    final = (fp_address - _FRAME_SIZE) & ~15
    addresses = [final]
    for step in reversed(steps):
        # The step's return address lies just below the next frame; a function is entered with rsp % 16 == 8.
        stack = addresses[-1] - 8
        frames.append(_step_frame(registers, step, stack, text_address))
        addresses.append((stack - _FRAME_SIZE) & ~15)
    base = addresses[-1]
    block = bytearray(text_address + len(text) - base)
    for address, frame in zip(addresses, frames, strict=True):
        block[address - base : address - base + _FRAME_SIZE] = frame
    for address in addresses[:-1]:
        struct.pack_into("<Q", block, address - 8 - base, gadgets.trampoline)
    block[fp_address - base : fp_address - base + len(fp_state)] = fp_state
    block[text_address - base :] = text
    start = registers.but(rip=gadgets.trampoline, rsp=base, orig_rax=NO_SYSTEM_CALL)
    return Chain(base, bytes(block), start), text_address


def _step_frame(registers: Registers, step: Step, stack: int, text_address: int) -> bytes:
    first, second, third, fourth, fifth, sixth = (
        text_address if value == TEXT else value for value in (*step.arguments, *_NO_ARGUMENTS[len(step.arguments) :])
    )
    # A system call takes its fourth argument in r10, a function in rcx. No FP state: rt_sigreturn then loads the
    # initial one, which is what a function may expect.
    return _FRAME.pack(
        *_HEAD,
        *(fifth, sixth, fourth, 0, 0, 0, 0, 0),
        *(first, second, 0, 0, third, step.system_call or 0, fourth, stack, step.function, _CLEAR_FLAGS),
        *(registers["cs"], 0, 0, registers["ss"]),
        0,
        CHAIN_MASK,
    )


def _final_frame(registers: Registers, signal_mask: int, fp_address: int) -> bytes:
    general = (registers[name] for name in _SIGCONTEXT_ORDER)
    return _FRAME.pack(*_HEAD, *general, registers["cs"], 0, 0, registers["ss"], fp_address, signal_mask)


def _signal_frame_fp_state(extended_state: bytes, frame: SignalFrame | None) -> bytes:
    """Return the XSAVE area as a signal frame holds it: with its size and features announced, and an end mark.

    Where the thread makes no use of what a frame does not hold without request, a frame of the usual size is announced.
    The end mark is where either kind of process has it: at the usual size, and at the whole one.
    """
    size = len(extended_state)
    state = bytearray(extended_state)
    if size <= _LEGACY_SIZE:
        return bytes(state)
    mark = struct.pack("<I", _FX_MAGIC2)
    features, in_use = (struct.unpack_from("<Q", state, place)[0] for place in (_FX_SOFTWARE_BYTES, _IN_USE))
    announced = size
    if frame is not None and frame.size < size and not in_use & ~frame.features:
        announced, features = frame.size, features & frame.features
        state[announced : announced + len(mark)] = mark
    struct.pack_into("<IIQI", state, _FX_SOFTWARE_BYTES, _FX_MAGIC1, size + len(mark), features, announced)
    return bytes(state) + mark
