"""The link: a socketpair and a marker that a target makes for us, and a page of memory, by system calls in its threads.

No port, no file, nothing that outlives the target. If we die between two steps the target keeps two descriptors and a
page; nothing of it ever runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import re
import socket
import stat
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.attach import process, x86_64
from execd.attach.memory import Unmapped
from execd.attach.stopped import CHAIN_STACK
from execd.errors import AttachBusy, ExecdError, NotSupported

if TYPE_CHECKING:
    from collections.abc import Collection

    from execd.attach.interpreter import Interpreter
    from execd.attach.stopped import Stopper

PAGE_SIZE = 32 << 10
_DONE_WORD = 0
_PAIR_WORD = 8
_TEXT = 64
_PROT_READ_WRITE = 3
_MAP_PRIVATE_ANONYMOUS_FIXED_NOREPLACE = 0x02 | 0x20 | 0x100000
_MFD_CLOEXEC = 1
_PIDFD_GETFD = 438
# From the thread's release to the end of its steps; a busy machine may keep it from running.
_CHAIN_TIMEOUT_S = 1.0
# A gap of this size is in every 64-bit process; beside its middle an arena or a stack has room to come.
_THREADS_TRIED = 16
_LEAST_GAP = 1 << 30
# As /proc shows what `marker_name` names; a program may have memfds of similar names.
_MARKER = re.compile(r"/memfd:(execd:[0-9]+:[0-9]+)(?: \(deleted\))?")


@dataclass(frozen=True, slots=True)
class Link:
    """What the target made.

    Attributes:
        page: address of PAGE_SIZE bytes that are ours in the target.
        agent_descriptor, daemon_descriptor: the two ends of the socketpair, numbers in the target.
        marker: number of the memfd in the target.
    """

    page: int
    agent_descriptor: int
    daemon_descriptor: int
    marker: int

    @property
    def text_address(self) -> int:
        """Where an injected text may lie."""
        return self.page + _TEXT


def marker_name(uid: int, daemon_pid: int) -> str:
    """Return the name of the memfd that marks a target with an agent."""
    return f"execd:{uid}:{daemon_pid}"


def find_markers(pid: int) -> dict[int, str]:
    """Return the markers in a process by descriptor: none where it has no agent."""
    found = ((number, _MARKER.fullmatch(target)) for number, target in process.open_files(pid).items())
    return {number: match[1] for number, match in found if match}


def _marker_files(pid: int) -> dict[int, int]:
    """Return the markers of a process by inode: their descriptors."""
    found = {}
    for descriptor in find_markers(pid):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found[os.stat(f"/proc/{pid}/fd/{descriptor}").st_ino] = descriptor
    return found


def open_link(stopper: Stopper, found: Interpreter, name: str, mappings: list[process.Mapping]) -> Link:
    """Make a target open a link. Raises AttachBusy where no thread could do it now."""
    page = _free_address(stopper.pid, mappings)
    before = _marker_files(stopper.pid)
    steps = [
        x86_64.system_call(
            found.gadgets,
            x86_64.MMAP,
            page,
            PAGE_SIZE,
            _PROT_READ_WRITE,
            _MAP_PRIVATE_ANONYMOUS_FIXED_NOREPLACE,
            (1 << 64) - 1,
            0,
        ),
        x86_64.system_call(found.gadgets, x86_64.MEMFD_CREATE, x86_64.TEXT, _MFD_CLOEXEC),
        x86_64.system_call(
            found.gadgets,
            x86_64.SOCKETPAIR,
            socket.AF_UNIX,
            socket.SOCK_STREAM | socket.SOCK_CLOEXEC,
            0,
            page + _PAIR_WORD,
        ),
        x86_64.system_call(found.gadgets, x86_64.TIME, page + _DONE_WORD),
    ]
    _run_in_any_thread(stopper, found, steps, name.encode() + b"\0")
    _await_done(found, page)
    agent_end, daemon_end = struct.unpack("<ii", found.memory.read(page + _PAIR_WORD, 8))
    # An agent that is on its way out may have its own still; the number may be that of one that is gone.
    made = [number for inode, number in _marker_files(stopper.pid).items() if inode not in before]
    if daemon_end == 0 or len(made) != 1:
        raise NotSupported(
            f"process {stopper.pid} may not open descriptors (a limit of its own, or a seccomp filter)",
            remedy="raise its limit of open files (ulimit -n)",
            pid=stopper.pid,
        )
    return Link(page, agent_end, daemon_end, marker=made[0])


def close_link(stopper: Stopper, found: Interpreter, link: Link) -> None:
    """Make the target give everything back, after an attach that came to nothing."""
    numbers = (link.agent_descriptor, link.daemon_descriptor, link.marker)
    steps = [x86_64.system_call(found.gadgets, x86_64.CLOSE, number) for number in numbers]
    steps.append(unmap_step(found, link))
    _run_in_any_thread(stopper, found, steps, b"")


def unmap_page(stopper: Stopper, found: Interpreter, link: Link, first: Collection[int]) -> None:
    """Make the target give the page back, once nothing in it is needed any more.

    Args:
        stopper: of the target, with its memory map as it is now.
        found: its CPython.
        link: whose page it is.
        first: threads to prefer: the agent's own is held up at nobody's cost.
    """
    _run_in_any_thread(stopper, found, [unmap_step(found, link)], b"", first)


def take_descriptor(pidfd: int, number: int) -> int:
    """Return our own copy of a descriptor of the target (pidfd_getfd, Linux >= 5.6)."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = int(libc.syscall(_PIDFD_GETFD, pidfd, number, 0))
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"pidfd_getfd: {os.strerror(code)}")
    return descriptor


def take_socket(pidfd: int, link: Link) -> socket.socket:
    """Return the daemon's end of the link, after a look at what it is: the target could have replaced it."""
    descriptor = take_descriptor(pidfd, link.daemon_descriptor)
    taken = socket.socket(fileno=descriptor)
    is_ours = stat.S_ISSOCK(os.fstat(descriptor).st_mode) and taken.family == socket.AF_UNIX
    if not is_ours or taken.type != socket.SOCK_STREAM:
        taken.close()
        raise AttachBusy("the target closed the link while it was being made", remedy="try again")
    return taken


def _run_in_any_thread(
    stopper: Stopper, found: Interpreter, steps: list[x86_64.Step], text: bytes, first: Collection[int] = ()
) -> None:
    """Run system calls in the first thread that can; they need no lock, so that any place of any thread is good."""
    reason: ExecdError = AttachBusy("the target has no thread")
    for tid in sorted(process.threads(stopper.pid), key=lambda tid: tid not in first)[:_THREADS_TRIED]:
        try:
            with stopper.one(tid):
                stopper.run_chain(tid, steps, found.gadgets, text, CHAIN_STACK)
        except AttachBusy as error:
            reason = error
        else:
            return
    raise reason


def unmap_step(found: Interpreter, link: Link) -> x86_64.Step:
    """Return the system call that gives the page back."""
    return x86_64.system_call(found.gadgets, x86_64.MUNMAP, link.page, PAGE_SIZE)


def _await_done(found: Interpreter, page: int) -> None:
    deadline = time.monotonic() + _CHAIN_TIMEOUT_S
    while True:
        try:
            if found.memory.read_u64(page + _DONE_WORD):
                return
        except Unmapped:
            pass
        if time.monotonic() > deadline:
            raise AttachBusy("the target's thread did not get to run", remedy="try again")
        time.sleep(50e-6)


def _free_address(pid: int, mappings: list[process.Mapping]) -> int:
    """Return an address at which PAGE_SIZE bytes are free, and stay so: in the middle of the largest gap.

    The target runs until its chain does, and the chain does not see that its mmap failed: it would write into what has
    come there meanwhile. The kernel maps next to what is mapped, and malloc's arenas lie at multiples of 64 MiB below.
    """
    best, address = 0, 0
    for low, high in itertools.pairwise(mappings):
        gap = high.start - low.end
        if gap > best and high.start < 1 << 47:
            best, address = gap, low.end + gap // 2
    if best < _LEAST_GAP:
        raise NotSupported(f"process {pid} has no address space left", pid=pid)
    return address & ~0xFFFF
