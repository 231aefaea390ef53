"""Seccomp filters: read from a target's threads, and judged for every system call that an attach makes in it.

A filter alone is no reason to refuse: every container has one. What counts is what it does to our calls.
"""

from __future__ import annotations

import ctypes
import errno
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from execd.attach import bpf, process, x86_64
from execd.attach.link import CODE_SIZE, PAGE_SIZE
from execd.errors import NotSupported, TargetGone

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from execd.attach.stopped import Stopper

OFF, STRICT, FILTERED = 0, 1, 2
_GET_FILTER = 0x420C
_LENGTH_LIMIT = 4096
_CAP_SYS_ADMIN = 1 << 21
_INITIAL_NAMESPACE = [["0", "0", "4294967295"]]
_ARCHITECTURE = 0xC000003E
# Calls that the kernel goes on with by restart_syscall after a stop (ERESTART_RESTARTBLOCK).
_RESTARTED = {b"7", b"35", b"202", b"230"}
_RESTART_BLOCK = (1 << 64) - 516

_ACTION = 0xFFFF_0000
_ERRNO, _NOTIFY, _TRACE = 0x0005_0000, 0x7FC0_0000, 0x7FF0_0000
_LOG, _ALLOW = 0x7FFC_0000, 0x7FFF_0000
_ALLOWING = (_LOG, _ALLOW)
_KILL_PROCESS = 0x8000_0000
_DEEDS = {
    0x0000_0000: "kills the thread",
    0x0003_0000: "sends a SIGSYS",
    _ERRNO: "makes the call fail",
    _NOTIFY: "asks a supervisor (user notification)",
    _TRACE: "asks a tracer",
}


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that an attach makes in a target.

    Attributes:
        name, number: which.
        needed: the attach comes to nothing, or the target to harm, where it fails.
        arguments: what is known of them; None stands for any value.
    """

    name: str
    number: int
    needed: bool
    arguments: tuple[int | None, ...] = ()


_ANY = None
# What a chain makes (link.py, injection.py), how it ends, and how a sleep goes on that a stop has interrupted.
_CHAIN = (
    Call("mmap", x86_64.MMAP, True, (_ANY, PAGE_SIZE, 3, 0x100022, (1 << 64) - 1, 0)),
    Call("mmap", x86_64.MMAP, False, (_ANY, CODE_SIZE, 5, 0x100022, (1 << 64) - 1, 0)),
    Call("memfd_create", x86_64.MEMFD_CREATE, True, (_ANY, 1)),
    Call("socketpair", x86_64.SOCKETPAIR, True, (1, 0x80001, 0, _ANY)),
    Call("time", x86_64.TIME, True, (_ANY,)),
    Call("munmap", x86_64.MUNMAP, True, (_ANY, PAGE_SIZE + CODE_SIZE)),
    Call("close", x86_64.CLOSE, True, (_ANY,)),
    Call("rt_sigreturn", 15, True),
    Call("restart_syscall", 219, True),
)
_THREAD_FLAGS = 0x3D0F00
# What the agent's thread makes, its start and end among it: strace of 3.9 to 3.15 under glibc 2.31 to 2.41.
_AGENT = (
    Call("read", 0, True, (_ANY, _ANY, _ANY)),
    Call("write", 1, True, (_ANY, _ANY, _ANY)),
    Call("mmap", 9, True, (0, _ANY, 0, 0x20022, (1 << 64) - 1, 0)),
    Call("mmap", 9, True, (0, _ANY, 3, 0x22, (1 << 64) - 1, 0)),
    Call("mmap", 9, False, (0, _ANY, 3, 0x20022, (1 << 64) - 1, 0)),
    Call("mmap", 9, False, (0, _ANY, 0, 0x4022, (1 << 64) - 1, 0)),
    Call("mmap", 9, False, (0, _ANY, 0, 0x22, (1 << 64) - 1, 0)),
    Call("mmap", 9, False, (_ANY, _ANY, 1, _ANY, _ANY, _ANY)),
    Call("mmap", 9, False, (_ANY, _ANY, 3, _ANY, _ANY, _ANY)),
    Call("mmap", 9, False, (_ANY, _ANY, 5, _ANY, _ANY, _ANY)),
    Call("mprotect", 10, True, (_ANY, _ANY, 3)),
    Call("mprotect", 10, False, (_ANY, _ANY, 1)),
    Call("mprotect", 10, False, (_ANY, _ANY, 0)),
    Call("munmap", 11, False, (_ANY, _ANY)),
    Call("mremap", 25, False, (_ANY, _ANY, _ANY, 1)),
    Call("brk", 12, False, (_ANY,)),
    Call("madvise", 28, False, (_ANY, _ANY, _ANY)),
    Call("rt_sigaction", 13, False, (33, _ANY, _ANY, 8)),
    Call("rt_sigprocmask", 14, True, (_ANY, _ANY, _ANY, 8)),
    Call("stat", 4, False, (_ANY, _ANY)),
    Call("openat", 257, False, (_ANY, _ANY, 0x80000, 0)),
    Call("lseek", 8, False, (_ANY, _ANY, _ANY)),
    Call("pread64", 17, False, (_ANY, _ANY, _ANY, _ANY)),
    Call("getpid", 39, False),
    Call("gettid", 186, False),
    Call("sched_yield", 24, False),
    Call("sched_getaffinity", 204, False, (_ANY, _ANY, _ANY)),
    Call("futex", 202, True, (_ANY, 0x80, _ANY, _ANY)),
    Call("futex", 202, True, (_ANY, 0x81, _ANY, _ANY)),
    Call("futex", 202, True, (_ANY, 0x89, _ANY, _ANY)),
    Call("futex", 202, True, (_ANY, 0x189, _ANY, _ANY)),
    Call("clock_gettime", 228, False, (_ANY, _ANY)),
    Call("set_robust_list", 273, False, (_ANY, 24)),
    # glibc ends the process where a thread of one that has rseq cannot have it, spins where a thread cannot exit, and
    # Python raises into the program where a mask cannot be set.
    Call("rseq", 334, True, (_ANY, _ANY, _ANY, _ANY)),
    Call("exit", 60, True, (0,)),
)
# Calls of which a C library makes one or the other: to start a thread, and to look at an open file.
_ALTERNATIVES = (
    (Call("clone3", 435, False, (_ANY, _ANY)), Call("clone", 56, False, (_THREAD_FLAGS, _ANY, _ANY, _ANY, _ANY))),
    (Call("newfstatat", 262, False, (_ANY, _ANY, _ANY, _ANY)), Call("fstat", 5, False, (_ANY, _ANY))),
)
# What the native core makes in the target beside these, its loading among it: strace of 3.9 to 3.15.
_CORE = (
    Call("memfd_create", x86_64.MEMFD_CREATE, True, (_ANY, 3)),
    Call("ftruncate", 77, True, (_ANY, _ANY)),
    Call("fcntl", 72, True, (_ANY, 1033, 7)),
    Call("openat", 257, True, (_ANY, _ANY, 0x80000, 0)),
    Call("mmap", 9, True, (_ANY, _ANY, 1, 0x802, _ANY, _ANY)),
    Call("mmap", 9, True, (_ANY, _ANY, 1, 0x812, _ANY, _ANY)),
    Call("mmap", 9, True, (_ANY, _ANY, 3, 0x812, _ANY, _ANY)),
    Call("mmap", 9, True, (_ANY, _ANY, 5, 0x812, _ANY, _ANY)),
    Call("mmap", 9, True, (0, _ANY, 3, 0x4001, _ANY, 0)),
    Call("mprotect", 10, True, (_ANY, _ANY, 1)),
    Call("madvise", 28, True, (_ANY, _ANY, 10)),
    Call("madvise", 28, True, (_ANY, _ANY, 18)),
    Call("clock_gettime", 228, True, (_ANY, _ANY)),
)
# Of filters that nobody has looked at.
UNREAD = "its seccomp filters have not been read"


def may_read() -> bool:
    """Return whether the kernel lets this process read filters: root of the machine, and under none itself."""
    fields = dict(line.partition(":\t")[::2] for line in Path("/proc/self/status").read_text().splitlines())
    namespace = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    free = fields.get("Seccomp", "0") == "0" and namespace == _INITIAL_NAMESPACE
    return free and bool(int(fields["CapEff"], 16) & _CAP_SYS_ADMIN)


def read_filters(stopper: Stopper) -> set[bytes]:
    """Return the filters of a target's threads, each an array of struct sock_filter.

    Threads inherit filters when they start. Where all have as many, one is read; else some have added to theirs, and
    each of them is read.

    Raises:
        AttachBusy: a thread cannot be stopped at this instant.
    """
    counts = _counts(stopper.pid)
    tids = list(counts)
    if len(set(counts.values())) == 1:
        tids = [_quickest(stopper.pid, tids)]
    found: set[bytes] = set()
    for tid in tids:
        try:
            found.update(_read(stopper, tid))
        except TargetGone:
            if tid == stopper.pid:
                raise
    return found


def judge(pid: int, filters: Iterable[bytes]) -> None:
    """Raise NotSupported where filters would harm a target, or spoil the attach, at a call that the attach makes.

    Args:
        pid: the target, for the message.
        filters: as `read_filters` returns them.
    """
    programs = list(filters)
    for call in (*_CHAIN, *_AGENT, *chain.from_iterable(_ALTERNATIVES)):
        action = worst_action(programs, call)
        if action not in _ALLOWING and (call.needed or action != _ERRNO):
            raise _refusal(pid, call, action)
    for calls in _ALTERNATIVES:
        if all(worst_action(programs, call) == _ERRNO for call in calls):
            raise _refusal(pid, calls[-1], _ERRNO)


def core_hindrance(filters: Iterable[bytes]) -> str:
    """Return what filters do to the native core, "" where they let all of its system calls through.

    Args:
        filters: as `read_filters` returns them.
    """
    programs = list(filters)
    for call in _CORE:
        action = worst_action(programs, call)
        if action not in _ALLOWING:
            return f"a seccomp filter of its {_DEEDS.get(action, 'kills the process')} at {call.name}"
    return ""


def worst_action(programs: Sequence[bytes], call: Call) -> int:
    """Return the action that the kernel would take at worst: of several it takes the one that is the lowest signed."""
    data = _data(call)
    actions = {_ALLOW}
    for program in programs:
        try:
            results = bpf.outcomes(program, data)
        except bpf.NotAFilter:
            return _KILL_PROCESS
        actions |= {_KILL_PROCESS if result is None else result & _ACTION for result in results}
    return min(actions, key=_signed)


def _signed(action: int) -> int:
    # What the kernel does not know kills too.
    known = action in _DEEDS or action in _ALLOWING
    return action if known else action - (1 << 32)


def _data(call: Call) -> dict[int, int]:
    """Return the words of struct seccomp_data that are known of a call."""
    words = {0: call.number, 4: _ARCHITECTURE}
    for position, value in enumerate(call.arguments):
        if value is not None:
            words[16 + 8 * position] = value & 0xFFFF_FFFF
            words[20 + 8 * position] = value >> 32
    return words


def _refusal(pid: int, call: Call, action: int) -> NotSupported:
    return NotSupported(
        f"a seccomp filter of process {pid} {_DEEDS.get(action, 'kills the process')} at {call.name}, "
        "a system call that an attach makes",
        remedy=f"let its filter allow {call.name}; in a container: seccomp=unconfined or a profile that has it",
        pid=pid,
        system_call=call.name,
    )


def _counts(pid: int) -> dict[int, bytes]:
    """Return how many filters each thread has; a kernel before 5.9 does not tell, and each counts as another."""
    counts = {}
    for tid in process.threads(pid):
        try:
            lines = process.read_file(f"/proc/{pid}/task/{tid}/status").splitlines()
        except TargetGone:
            continue
        counts[tid] = next((line for line in lines if line.startswith(b"Seccomp_filters:")), b"%d" % tid)
    return counts


def _quickest(pid: int, tids: list[int]) -> int:
    """Return a thread that goes on after a stop by itself, where there is one: a filter may forbid restart_syscall."""
    for tid in tids:
        try:
            call = process.read_file(f"/proc/{pid}/task/{tid}/syscall").split()
        except TargetGone:
            continue
        if call and call[0] not in _RESTARTED:
            return tid
    return tids[0]


def _read(stopper: Stopper, tid: int) -> list[bytes]:
    with stopper.one(tid):
        registers = stopper.registers(tid)
        programs = list(_programs(stopper, tid))
        restart = next(call for call in _CHAIN if call.name == "restart_syscall")
        if registers["rax"] == _RESTART_BLOCK and worst_action(programs, restart) not in _ALLOWING:
            # Let go as it is, it would be killed for our stop; so it makes its call again, with its whole time.
            again = registers.resumed().but(orig_rax=x86_64.NO_SYSTEM_CALL)
            stopper.ptrace.set_registers(tid, again.pack())
    return programs


def _programs(stopper: Stopper, tid: int) -> Iterable[bytes]:
    buffer = ctypes.create_string_buffer(_LENGTH_LIMIT * bpf.INSTRUCTION.size)
    number = 0
    while True:
        try:
            length = stopper.ptrace.call(_GET_FILTER, tid, number, ctypes.addressof(buffer))
        except OSError as error:
            # ENOENT past the last one; EINVAL for a thread that has none.
            if error.errno in (errno.ENOENT, errno.EINVAL):
                return
            raise
        yield buffer.raw[: length * bpf.INSTRUCTION.size]
        number += 1
