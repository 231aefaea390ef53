"""The link: a socketpair and a marker that a target makes for us, and a page of memory, by system calls in its threads.

No port, no file, nothing that outlives the target. If we die between two steps the target keeps two descriptors and a
page; nothing of it ever runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import os
import re
import socket
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.attach import process, x86_64
from execd.attach.headroom import require_headroom
from execd.attach.memory import Unmapped
from execd.attach.stopped import CHAIN_STACK
from execd.errors import AttachBusy, ExecdError, NotSupported

if TYPE_CHECKING:
    from collections.abc import Collection

    from execd.attach.interpreter import Interpreter
    from execd.attach.stopped import Stopper

# The injected text, with bytes as Python writes them; no other mapping is likely to be of this size.
PAGE_SIZE = 112 << 10
# What calls it from the pending-call ring (call.py), in a page of its own behind it that cannot be written.
CODE_SIZE = 4096
_PROT_READ_EXECUTE = 5
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
# Until then a thread that was let go has not been given the processor, rather than failed.
_FAILURE_LOOK_S = 0.02
# The three of the link, a script that is opened by its path (3.14+), an extension module that is loaded.
_DESCRIPTORS_NEEDED = 5
# The stack of the agent's thread, and memory for what is compiled there.
_LEAST_ADDRESS_SPACE = 16 << 20
# As /proc shows what `marker_name` names; a program may have memfds of similar names.
_MARKER_START = "/memfd:execd:"
_MARKER = re.compile(r"/memfd:(execd:[0-9]+:[0-9]+)(?::([0-9]+))?(?: \(deleted\))?")


@dataclass(frozen=True, slots=True)
class Link:
    """What the target made.

    Attributes:
        page: address of PAGE_SIZE bytes that are ours in the target.
        agent_descriptor, daemon_descriptor: the two ends of the socketpair, numbers in the target.
        marker: number of the memfd in the target.
        files: what tells those three from files that the target opens under their numbers later: (number, device,
            inode), the agent's own end last.
        has_code_page: whether CODE_SIZE bytes behind the page are ours too; else something of the target's lies there.
    """

    page: int
    agent_descriptor: int
    daemon_descriptor: int
    marker: int
    files: tuple[tuple[int, int, int], ...]
    has_code_page: bool

    @property
    def code_address(self) -> int:
        """Where code may lie that calls it."""
        return self.page + PAGE_SIZE

    @property
    def mapped_size(self) -> int:
        """How many bytes from the page on are ours."""
        return PAGE_SIZE + CODE_SIZE if self.has_code_page else PAGE_SIZE

    @property
    def text_address(self) -> int:
        """Where an injected text may lie."""
        return self.page + _TEXT


def marker_name(uid: int, daemon_pid: int) -> str:
    """Return the name of the memfd that marks a target with an agent."""
    return f"execd:{uid}:{daemon_pid}"


def find_markers(pid: int) -> dict[int, str]:
    """Return the markers in a process by descriptor: none where it has no agent.

    A child that was forked in the first instants of an attach has its parent's marker, and no agent: the name ends
    with the start time of the process that it was made for.
    """
    matches = {number: _MARKER.fullmatch(target) for number, target in process.open_files(pid, _MARKER_START).items()}
    found = {number: match for number, match in matches.items() if match}
    own = str(process.start_ticks(pid)) if found else ""
    return {number: match[1] for number, match in found.items() if match[2] in (None, own)}


def identity(pid: int, number: int) -> tuple[int, int] | None:
    """Return device and inode of an open file of a process, None where there is none of that number."""
    try:
        facts = os.stat(f"/proc/{pid}/fd/{number}")
    except FileNotFoundError:
        return None
    return facts.st_dev, facts.st_ino


class Opening:
    """The making of one link. `attempt` may be called again until it returns: the chain is sent on its way once.

    Args:
        stopper: of the target.
        found: its CPython.
        name: of the marker, see `marker_name`.
        mappings: its memory map.

    Raises:
        NotSupported: the target has no room for a link.
    """

    def __init__(self, stopper: Stopper, found: Interpreter, name: str, mappings: list[process.Mapping]) -> None:
        self._stopper, self._found, self._pid = stopper, found, stopper.pid
        self._name = f"{name}:{process.start_ticks(self._pid)}"
        self._page = _free_address(self._pid, mappings)
        self._before = set(self._markers())
        self._sent = False

    def attempt(self) -> Link:
        """Return the link. Raises AttachBusy where no thread could make it yet, NotSupported where none can."""
        if not self._sent:
            run_in_any_thread(self._stopper, self._found, self._steps(), self._name.encode() + b"\0")
            self._sent = True
        mapped = self._await_done()
        agent_end, daemon_end = (
            struct.unpack("<ii", self._found.memory.read(self._page + _PAIR_WORD, 8)) if mapped else (0, 0)
        )
        # An agent that is on its way out may have its own still; the number may be that of one that is gone.
        made = self._made()
        if daemon_end == 0 or len(made) != 1:
            self._take_back(made, mapped=mapped)
            raise NotSupported(
                f"process {self._pid} could not make the link: it may open no more files, or map no more memory",
                remedy="raise its limits (ulimit -n, ulimit -v)",
                pid=self._pid,
            )
        return self._link(agent_end, daemon_end, made[0])

    def _steps(self) -> list[x86_64.Step]:
        gadgets, page = self._found.gadgets, self._page
        sockets = (socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC, 0, page + _PAIR_WORD)
        anywhere = ((1 << 64) - 1, 0)
        return [
            x86_64.system_call(
                gadgets,
                x86_64.MMAP,
                page,
                PAGE_SIZE,
                _PROT_READ_WRITE,
                _MAP_PRIVATE_ANONYMOUS_FIXED_NOREPLACE,
                *anywhere,
            ),
            x86_64.system_call(
                gadgets,
                x86_64.MMAP,
                page + PAGE_SIZE,
                CODE_SIZE,
                _PROT_READ_EXECUTE,
                _MAP_PRIVATE_ANONYMOUS_FIXED_NOREPLACE,
                *anywhere,
            ),
            x86_64.system_call(gadgets, x86_64.MEMFD_CREATE, x86_64.TEXT, _MFD_CLOEXEC),
            x86_64.system_call(gadgets, x86_64.SOCKETPAIR, *sockets),
            x86_64.system_call(gadgets, x86_64.TIME, page + _DONE_WORD),
        ]

    def _await_done(self) -> bool:
        """Wait for the chain's last step. Returns False where it is over without a page: mmap is its first step."""
        began = time.monotonic()
        while not self._is_done():
            waited_s = time.monotonic() - began
            if waited_s > _FAILURE_LOOK_S and self._made() and not self._is_mapped():
                return False
            if waited_s > _CHAIN_TIMEOUT_S:
                raise AttachBusy("the target's thread did not get to run", remedy="try again")
            time.sleep(50e-6 if waited_s < _FAILURE_LOOK_S else 5e-3)
        return True

    def _is_done(self) -> bool:
        return self._is_mapped() and self._found.memory.read_u64(self._page + _DONE_WORD) != 0

    def _is_mapped(self) -> bool:
        try:
            self._found.memory.read_u64(self._page + _DONE_WORD)
        except Unmapped:
            return False
        return True

    def _markers(self) -> dict[tuple[int, int], int]:
        """Return the descriptors of markers of this name by what they are."""
        names = re.compile(rf"/memfd:{self._name}(?: \(deleted\))?")
        numbers = [
            number for number, target in process.open_files(self._pid, _MARKER_START).items() if names.fullmatch(target)
        ]
        found = {identity(self._pid, number): number for number in numbers}
        return {identity: number for identity, number in found.items() if identity}

    def _made(self) -> list[int]:
        return [number for identity, number in self._markers().items() if identity not in self._before]

    def _link(self, agent_end: int, daemon_end: int, marker: int) -> Link:
        identities = {number: identity(self._pid, number) for number in (daemon_end, marker, agent_end)}
        files = tuple((number, *identity) for number, identity in identities.items() if identity)
        link = Link(self._page, agent_end, daemon_end, marker, files, has_code_page(self._pid, self._page + PAGE_SIZE))
        if len(files) < len(identities):
            close_link(self._stopper, self._found, link)
            raise _closed()
        return link

    def _take_back(self, made: list[int], *, mapped: bool) -> None:
        """Close what was made of a link that cannot be; what no thread can close now stays."""
        gadgets, code_address = self._found.gadgets, self._page + PAGE_SIZE
        steps = [x86_64.system_call(gadgets, x86_64.CLOSE, number) for number in made]
        if mapped:
            steps.append(x86_64.system_call(gadgets, x86_64.MUNMAP, self._page, PAGE_SIZE))
        if has_code_page(self._pid, code_address):
            steps.append(x86_64.system_call(gadgets, x86_64.MUNMAP, code_address, CODE_SIZE))
        with contextlib.suppress(AttachBusy):
            run_in_any_thread(self._stopper, self._found, steps, b"")


def has_code_page(pid: int, address: int) -> bool:
    """Tell whether the page for code came to be: a chain does not see that its mmap failed, or what lies there then."""
    wanted = f"{address:x}-{address + CODE_SIZE:x} r-xp 00000000 00:00 0"
    return wanted.encode() in process.read_file(f"/proc/{pid}/maps")


def require_room(pid: int, mappings: list[process.Mapping]) -> None:
    """Refuse a process that has no room for a link. Raises NotSupported."""
    _require_room(pid)
    _free_address(pid, mappings)


def _require_room(pid: int) -> None:
    """Refuse a process whose own limits a link would reach, before anything is touched."""
    require_headroom(pid)
    limit = process.limit(pid, "Max open files")
    below = [number for number in process.open_files(pid) if limit is not None and number < limit]
    if limit is not None and limit - len(below) < _DESCRIPTORS_NEEDED:
        raise NotSupported(
            f"process {pid} has {len(below)} of at most {limit} files open, and an attach needs {_DESCRIPTORS_NEEDED}",
            remedy=f"raise its limit: prlimit --pid {pid} --nofile={limit + _DESCRIPTORS_NEEDED}",
            pid=pid,
        )
    space = process.limit(pid, "Max address space")
    pages = int(process.read_file(f"/proc/{pid}/statm").split()[0]) if space is not None else 0
    if space is not None and space - pages * os.sysconf("SC_PAGE_SIZE") < _LEAST_ADDRESS_SPACE:
        raise NotSupported(
            f"process {pid} is within {_LEAST_ADDRESS_SPACE >> 20} MiB of its limit of address space",
            remedy=f"raise its limit: prlimit --pid {pid} --as={space + _LEAST_ADDRESS_SPACE}",
            pid=pid,
        )


def close_link(stopper: Stopper, found: Interpreter, link: Link) -> None:
    """Make the target give everything back, after an attach that came to nothing."""
    numbers = [number for number, *facts in link.files if identity(stopper.pid, number) == tuple(facts)]
    steps = [x86_64.system_call(found.gadgets, x86_64.CLOSE, number) for number in numbers]
    steps.append(unmap_step(found, link))
    run_in_any_thread(stopper, found, steps, b"")


def unmap_page(stopper: Stopper, found: Interpreter, link: Link, first: Collection[int]) -> None:
    """Make the target give the page back, once nothing in it is needed any more.

    Args:
        stopper: of the target, with its memory map as it is now.
        found: its CPython.
        link: whose page it is.
        first: threads to prefer: the agent's own is held up at nobody's cost.
    """
    run_in_any_thread(stopper, found, [unmap_step(found, link)], b"", first)


def take_descriptor(pidfd: int, link: Link, number: int) -> int:
    """Return our own copy of a file of the link (pidfd_getfd, Linux >= 5.6).

    Raises:
        AttachBusy: the target has closed it, or has one of its own under that number.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = int(libc.syscall(_PIDFD_GETFD, pidfd, number, 0))
    if descriptor < 0:
        code = ctypes.get_errno()
        if code == errno.EBADF:
            raise _closed()
        raise OSError(code, f"pidfd_getfd: {os.strerror(code)}")
    facts = os.fstat(descriptor)
    if (number, facts.st_dev, facts.st_ino) not in link.files:
        os.close(descriptor)
        raise _closed()
    return descriptor


def take_socket(pidfd: int, link: Link, number: int) -> socket.socket:
    """Return our own copy of one end of the link. Raises AttachBusy."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=take_descriptor(pidfd, link, number))


def _closed() -> AttachBusy:
    return AttachBusy("the target closed the link while it was being made", remedy="try again")


def run_in_any_thread(
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
    return x86_64.system_call(found.gadgets, x86_64.MUNMAP, link.page, link.mapped_size)


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
