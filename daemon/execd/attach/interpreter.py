"""A target's CPython: where it lies in memory, and what its main interpreter is doing. Reads only."""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from execd.attach import access, process
from execd.attach.gadgets import GadgetFinder
from execd.attach.images import ImageReader, addresses, candidates
from execd.attach.layout import (
    BOUND_GILSTATE_BIT,
    DEBUG_OFFSETS_SIZE,
    GIL_HOLDER,
    GIL_LOCKED,
    GIL_SIZE,
    Layout,
    layout_for,
)
from execd.attach.memory import Memory, Unmapped
from execd.errors import AttachBusy, ExecdError, NotSupported

if TYPE_CHECKING:
    from execd.attach import elf, x86_64
    from execd.attach.process import Mapping

_RUNTIME = "_PyRuntime"
_FUNCTIONS = (
    *("PyRun_SimpleString", "PyGILState_Ensure", "PyGILState_Release"),
    *("PyDict_New", "PyRun_String", "Py_DecRef", "PyThreadState_Get"),
)
# From 3.11 on.
_FUNCTIONS_SINCE = ("PyThreadState_EnterTracing", "PyThreadState_LeaveTracing")
_VERSION = "Py_Version"
# Their presence tells the minor version where Py_Version (3.11+) is missing.
_SINCE_3_10 = "PyErr_SetInterruptEx"
_SINCE_3_9 = "PyFrame_GetCode"
_SYMBOLS = (_RUNTIME, *_FUNCTIONS, *_FUNCTIONS_SINCE, _VERSION, _SINCE_3_10, _SINCE_3_9)
_THREADS_LIMIT = 20_000
_INTERPRETERS_LIMIT = 10_000
_STATES_CHECKED = 256
# A reader's luck, not a rule: every file is looked at where these do not hold CPython.
_LIKELY_NAMES = ("libpython", "python")
_RECURSION_BOUND = 1 << 31
_CHECK_PAUSES_S = (0.001, 0.002, 0.005, 0.01, 0.02)
# A thread state begins with the one before, the one after and its interpreter, in this order in every version.
_LINKS = struct.Struct("<QQQ")
_PADDED_SINCE = (3, 11)
_GIL_LOCKED_VALUES = (0, 1, 0xFFFFFFFF)


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

    def others(self) -> int:
        """Return how many interpreters the process has beside the main one. Raises AttachBusy as thread_states does."""
        return len(self.interpreters()) - 1

    def interpreters(self) -> list[int]:
        """Return the addresses of all interpreters, newest first. Raises AttachBusy as thread_states does."""
        found: list[int] = []
        try:
            address = self.memory.read_u64(self.runtime + self.layout.main_interpreter - 8)
            while address and len(found) < _INTERPRETERS_LIMIT:
                found.append(address)
                address = self.memory.read_u64(address + self.layout.next_interpreter)
        except Unmapped:
            raise AttachBusy("the target's interpreters change too fast", remedy="try again") from None
        return found

    def takes_gilstate(self, state: ThreadState) -> bool:
        """Whether PyGILState_Ensure in a state's thread takes that state: from 3.12 the last one that ran there.

        A thread that is within another interpreter would run there what is meant for the main one.
        """
        if self.layout.status is None:
            return True
        return bool(self.memory.read_u32(state.address + self.layout.status) & BOUND_GILSTATE_BIT)

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

    def started(self) -> bool:
        """Return whether it can run what is given to it: not before its import system is there (`initialized`)."""
        # Up to 3.10 the int before `finalizing`, from 3.11 with four bytes between the two (pycore_runtime.h).
        distance = 4 if self.version < _PADDED_SINCE else 8
        return self.memory.read_u32(self.runtime + self.layout.finalizing - distance) != 0


class Finder:
    """Finds CPython in processes; remembers what it has read. One per helper process."""

    def __init__(self) -> None:
        self._images = ImageReader(_SYMBOLS, (_VERSION,))
        self._gadgets = GadgetFinder()

    def find(self, pid: int, mappings: list[Mapping]) -> Interpreter:
        """Return the CPython of a process: of several that it has loaded, the one that is at work.

        All is read from its memory. The files may have been deleted or replaced since, or be hostile.

        Args:
            pid: the process.
            mappings: its memory map.

        Raises:
            NotSupported: it has none, or one of an unknown version or layout.
            AttachBusy: it has one that has not been started yet, or has ended.
            TargetGone, NotPermitted: it cannot be looked at.
        """
        memory = Memory(pid)
        reasons: list[ExecdError] = []
        for rows in candidates(mappings, _LIKELY_NAMES):
            image = self._images.loaded(memory, rows)
            if image is None or not image.symbols.keys() >= {_RUNTIME, *_FUNCTIONS}:
                continue
            try:
                return self._at_work(memory, mappings, image, rows)
            except (AttachBusy, NotSupported) as error:
                reasons.append(error)
        if not reasons:
            access.require_program(pid)
            raise NotSupported(
                f"process {pid} is not CPython: nothing it has loaded exports _PyRuntime",
                remedy="a program that CPython is linked into must export its symbols: link it with -rdynamic",
                pid=pid,
            )
        # One that was loaded and never started says less than one that cannot be attached to.
        raise min(reasons, key=lambda reason: isinstance(reason, AttachBusy))

    def version(self, pid: int) -> str:
        """Return the version of a process's CPython without reading its state, "" where it has none.

        Of several that it has loaded it may be another one than `find` tells by their states.
        """
        for rows in candidates(process.mappings(pid), _LIKELY_NAMES):
            image = self._images.read(pid, rows)
            if image is not None and _RUNTIME in image.symbols:
                return _version(image)[1]
        return ""

    def _at_work(self, memory: Memory, mappings: list[Mapping], image: elf.Image, rows: list[Mapping]) -> Interpreter:
        places = addresses(image, rows)
        version, text = _version(image)
        runtime = places[_RUNTIME]
        layout = layout_for(version, memory.read(runtime, DEBUG_OFFSETS_SIZE))
        main = memory.read_u64(runtime + layout.main_interpreter)
        if not main:
            raise AttachBusy(
                f"the CPython {text} that process {memory.pid} has loaded has not been started, or has ended",
                remedy="try again when it runs",
            )
        functions = {name: places[name] for name in (*_FUNCTIONS, *_FUNCTIONS_SINCE) if name in places}
        gadgets = self._gadgets.find(memory, mappings)
        found = Interpreter(memory, version, text, runtime, main, functions, layout, gadgets)
        check(found)
        return found


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
    try:
        return (
            found.main in found.interpreters()
            and _states_fit(found)
            and found.memory.read_u32(found.gil().start + GIL_LOCKED) in _GIL_LOCKED_VALUES
            and _ring_fits(found)
        )
    except (Unmapped, AttachBusy):
        return False


def _states_fit(found: Interpreter) -> bool:
    """Whether the list of thread states is one: linked both ways, of this interpreter, of threads that there are."""
    layout, memory = found.layout, found.memory
    states = found.thread_states()[:_STATES_CHECKED]
    if not states or layout.interpreter != layout.next_thread + 8:
        return False
    links = [_LINKS.unpack(memory.read(state.address + layout.next_thread - 8, _LINKS.size)) for state in states]
    # A thread that starts or ends while we read breaks a link or two; offsets that are wrong break all.
    sound = [link[0] == state.address for state, (_, link) in zip(states, pairwise(links), strict=False)]
    alone = len(states) == 1 and (links[0][0] or links[0][1])
    return (
        all(interpreter == found.main for _, _, interpreter in links)
        and not alone
        and 2 * sum(sound) >= len(sound)
        and any(_is_thread(memory, state.thread_id) for state in states)
        and found.recursion_left(states[0]) < _RECURSION_BOUND
    )


def _is_thread(memory: Memory, thread_id: int) -> bool:
    """Whether there is a thread of that pthread_self(): its control block begins with its own address."""
    try:
        return bool(thread_id) and memory.read_u64(thread_id) == thread_id
    except Unmapped:
        return False


def _ring_fits(found: Interpreter) -> bool:
    ring = found.layout.pending
    if ring is None:
        return True
    first, last = (found.memory.read_u32(found.main + place) for place in (ring.first, ring.last))
    return first < ring.slots and last < ring.slots


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
