"""A target's CPython: where it lies in memory, and what its main interpreter is doing. Reads only."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.attach import elf, process, rootfs, x86_64
from execd.attach.layout import DEBUG_OFFSETS_SIZE, GIL_HOLDER, GIL_LOCKED, GIL_SIZE, Layout, layout_for
from execd.attach.memory import Memory, Unmapped
from execd.errors import AttachBusy, NotSupported

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execd.attach.process import Mapping

_RUNTIME = "_PyRuntime"
_FUNCTIONS = ("PyRun_SimpleString", "PyGILState_Ensure", "PyGILState_Release")
_VERSION = "Py_Version"
# Their presence tells the minor version where Py_Version (3.11+) is missing.
_SINCE_3_10 = "PyErr_SetInterruptEx"
_SINCE_3_9 = "PyFrame_GetCode"
_SYMBOLS = (_RUNTIME, *_FUNCTIONS, _VERSION, _SINCE_3_10, _SINCE_3_9)
_THREADS_LIMIT = 20_000
_LIBRARY_LIMIT = 256
# A reader's luck, not a rule: every file is looked at where these do not hold CPython.
_LIKELY_NAMES = ("libpython", "python")
_RECURSION_BOUND = 1 << 31
_CHECK_PAUSES_S = (0.001, 0.002, 0.005, 0.01, 0.02)
_PATTERNS = (x86_64.TRAMPOLINE, x86_64.SYSCALL_RETURN)


@dataclass(frozen=True, slots=True)
class ThreadState:
    """A PyThreadState: its address, and the pthread_self() of its thread."""

    address: int
    thread_id: int


@dataclass(frozen=True, slots=True)
class Gil:
    """Who holds the lock: the thread state's address or 0; and where the lock's struct lies."""

    holder: int
    start: int

    def contains(self, address: int) -> bool:
        """Whether an address, of a futex, lies within the lock."""
        return self.start <= address < self.start + GIL_SIZE


@dataclass(frozen=True, slots=True)
class Interpreter:
    """CPython in a target.

    Attributes:
        memory: of the target.
        version: (3, 11); patch level "3.11.7" in `version_text` where it is known.
        runtime: address of _PyRuntime.
        main: address of the main interpreter's state.
        functions: addresses of the C functions that an attach calls.
        layout: offsets that fit.
        gadgets: of its C library.
    """

    memory: Memory
    version: tuple[int, int]
    version_text: str
    runtime: int
    main: int
    functions: dict[str, int]
    layout: Layout
    gadgets: x86_64.Gadgets

    def thread_states(self) -> list[ThreadState]:
        """Return the main interpreter's thread states, newest first. Raises AttachBusy where they change under us."""
        found: list[ThreadState] = []
        address = self.memory.read_u64(self.main + self.layout.threads_head)
        layout = self.layout
        size = max(layout.thread_id, layout.next_thread) + 8
        try:
            while address and len(found) < _THREADS_LIMIT:
                state = self.memory.read(address, size)
                found.append(ThreadState(address, _word(state, layout.thread_id)))
                address = _word(state, layout.next_thread)
        except Unmapped:
            raise AttachBusy("the target's threads change too fast", remedy="try again") from None
        return found

    def gil(self) -> Gil:
        """Return who holds the GIL."""
        layout, memory = self.layout, self.memory
        start = self.main + layout.gil if layout.gil_is_pointer else self.runtime + layout.gil
        if layout.gil_is_pointer:
            start = memory.read_u64(start)
        if layout.current_thread is not None:
            return Gil(memory.read_u64(self.runtime + layout.current_thread), start)
        locked = memory.read_u32(start + GIL_LOCKED)
        return Gil(memory.read_u64(start + GIL_HOLDER) if locked else 0, start)

    def recursion_left(self, state: ThreadState) -> int:
        """Return how many more frames a thread may open."""
        layout, memory = self.layout, self.memory
        if layout.recursion_left is not None:
            return memory.read_u32(state.address + layout.recursion_left)
        limit = memory.read_u32(self.main + layout.recursion_limit)
        return limit - memory.read_u32(state.address + layout.recursion_depth)

    def finalizing(self) -> bool:
        """Return whether the interpreter is on its way out."""
        return self.memory.read_u64(self.runtime + self.layout.finalizing) != 0


class Finder:
    """Finds CPython in processes; remembers the ELF files that it has read. One per helper process."""

    def __init__(self) -> None:
        self._images: dict[tuple[int, int, int, int], elf.Image | None] = {}
        # Offsets of the two patterns in a mapping of code, -1 where it has none; scanning a C library takes 1 ms.
        self._gadgets: dict[tuple[str, str, int, int], tuple[int, ...]] = {}

    def find(self, pid: int, mappings: list[Mapping]) -> Interpreter:
        """Return the CPython of a process.

        Args:
            pid: the process.
            mappings: its memory map.

        Raises:
            NotSupported: it has none, or one of an unknown version or layout.
            TargetGone, NotPermitted: it cannot be looked at.
        """
        memory = Memory(pid)
        for path_mappings in _candidates(mappings):
            image = self._image(pid, path_mappings)
            if image is not None and image.symbols.keys() >= {_RUNTIME, *_FUNCTIONS}:
                break
        else:
            raise NotSupported(f"process {pid} is not CPython: nothing it has loaded holds _PyRuntime", pid=pid)
        addresses = _addresses(image, path_mappings)
        version, text = _version(image)
        runtime_start = memory.read(addresses[_RUNTIME], DEBUG_OFFSETS_SIZE)
        functions = {name: addresses[name] for name in _FUNCTIONS}
        layout = layout_for(version, runtime_start)
        gadgets = self._find_gadgets(pid, memory, mappings)
        main = memory.read_u64(addresses[_RUNTIME] + layout.main_interpreter)
        found = Interpreter(memory, version, text, addresses[_RUNTIME], main, functions, layout, gadgets)
        check(found)
        return found

    def version(self, pid: int) -> str:
        """Return the version of a process's CPython without reading its state, "" where none is found at a glance.

        A glance is at the executable and at libraries that are named after python: `find` looks at every file.
        """
        executable = rootfs.executable_path(pid)
        for rows in _candidates(process.mappings(pid)):
            name = rows[0].path.rpartition("/")[2]
            if rows[0].path != executable and not name.startswith("libpython"):
                continue
            image = self._image(pid, rows)
            if image is not None and _RUNTIME in image.symbols:
                return _version(image)[1]
        return ""

    def _image(self, pid: int, mappings: list[Mapping]) -> elf.Image | None:
        descriptor = _open_mapped(pid, mappings[0])
        if descriptor is None:
            return None
        try:
            facts = os.fstat(descriptor)
            key = (facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size)
            if key not in self._images:
                try:
                    self._images[key] = elf.read_image(descriptor, _SYMBOLS, (_VERSION,))
                except elf.NotAnElf:
                    self._images[key] = None
            return self._images[key]
        finally:
            os.close(descriptor)

    def _find_gadgets(self, pid: int, memory: Memory, mappings: list[Mapping]) -> x86_64.Gadgets:
        code = [mapping for mapping in mappings if mapping.executable and mapping.path.startswith("/")]
        code.sort(key=lambda mapping: "libc" not in mapping.path.rpartition("/")[2])
        found = [0, 0]
        for mapping in code:
            key = (mapping.path, mapping.device, mapping.inode, mapping.offset)
            if key not in self._gadgets:
                data = memory.read(mapping.start, mapping.end - mapping.start)
                self._gadgets[key] = tuple(data.find(pattern) for pattern in _PATTERNS)
            for index, place in enumerate(self._gadgets[key]):
                if not found[index] and place >= 0 and _is_there(memory, mapping.start + place, _PATTERNS[index]):
                    found[index] = mapping.start + place
            if all(found):
                return x86_64.Gadgets(*found)
        raise NotSupported(f"process {pid} has no rt_sigreturn trampoline in its C library", pid=pid)


def check(found: Interpreter) -> None:
    """Raise NotSupported where the layout does not fit what lies in memory: then nothing there may be touched.

    A thread that ends while we read makes a look fail too, so only a misfit that lasts is one.
    """
    for pause_s in _CHECK_PAUSES_S:
        if _fits(found):
            return
        time.sleep(pause_s)
    raise NotSupported(
        f"the internals of this CPython {found.version_text} are not laid out as in the releases execd knows",
        remedy="report the build; its offsets can be added",
        version=found.version_text,
    )


def _fits(found: Interpreter) -> bool:
    layout, memory, main = found.layout, found.memory, found.main
    try:
        states = found.thread_states()
        ours = (memory.read_u64(state.address + layout.interpreter) == main for state in states[:_LIBRARY_LIMIT])
        if not states or not all(ours) or found.recursion_left(states[0]) >= _RECURSION_BOUND:
            return False
        found.gil()
        if layout.pending is None:
            return True
        first, last = (memory.read_u32(main + place) for place in (layout.pending.first, layout.pending.last))
    except (Unmapped, AttachBusy):
        return False
    return first < layout.pending.slots and last < layout.pending.slots


def _candidates(mappings: list[Mapping]) -> Iterator[list[Mapping]]:
    """Yield the mapped files that can hold CPython, the likely ones first: by name, then everything executable."""
    by_path: dict[str, list[Mapping]] = {}
    for mapping in mappings:
        if mapping.path.startswith("/") and mapping.inode:
            by_path.setdefault(mapping.path, []).append(mapping)
    files = [rows for rows in by_path.values() if any(row.executable for row in rows)][:_LIBRARY_LIMIT]
    files.sort(key=lambda rows: not rows[0].path.rpartition("/")[2].startswith(_LIKELY_NAMES))
    yield from files


def _open_mapped(pid: int, mapping: Mapping) -> int | None:
    """Open the file of a mapping if it still is the one that was mapped."""
    for opener in (rootfs.open_in_root, _open_exe):
        try:
            descriptor = opener(pid, mapping.path)
        except FileNotFoundError:
            continue
        if os.fstat(descriptor).st_ino == mapping.inode:
            return descriptor
        os.close(descriptor)
    return None


def _addresses(image: elf.Image, rows: list[Mapping]) -> dict[str, int]:
    """Return where an image's symbols lie in the process that has mapped it at `rows`."""
    bias = rows[0].start - rows[0].offset - image.load_address
    return {name: value + bias for name, value in image.symbols.items()}


def _open_exe(pid: int, _path: str) -> int:
    return rootfs.open_executable(pid)


def _version(image: elf.Image) -> tuple[tuple[int, int], str]:
    """Return (major, minor) and the version as text, from the file: nothing of the process need be readable."""
    if _VERSION in image.constants:
        value = image.constants[_VERSION]
        major, minor, micro = value >> 24, value >> 16 & 255, value >> 8 & 255
        return (major, minor), f"{major}.{minor}.{micro}"
    minor = 10 if _SINCE_3_10 in image.symbols else 9 if _SINCE_3_9 in image.symbols else 8
    return (3, minor), f"3.{minor}"


def _word(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 8], "little")


def _is_there(memory: Memory, address: int, pattern: bytes) -> bool:
    """Look again: a file of the same name and inode may have been written over."""
    return memory.read(address, len(pattern)) == pattern
