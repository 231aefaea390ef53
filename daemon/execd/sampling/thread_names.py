"""Names of threads, read from outside.

The threading module's name of a thread is an attribute of its Thread object, and that is the `self` of `_bootstrap`,
the outermost frame of every thread that it starts. Others have no such object that could be reached from their frames:
the main thread, and those that C code or `_thread` started. The first is called MainThread, the others what the kernel
calls them, where that is not what it calls the process.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from execd.attach import process
from execd.attach.layout import DEBUG_OFFSETS_SIZE
from execd.attach.memory import Memory, Unmapped
from execd.errors import ExecdError
from execd.sampling.attribute_reader import AttributeReader
from execd.sampling.frame_layout import FrameLayout, frame_layout_for
from execd.sampling.object_reader import NotAnObject, ObjectReader, word
from execd.sampling.walk import Thread, innermost, interpreters, threads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from execd.attach.interpreter import Interpreter
    from execd.sampling.fields import ChunkFields

_MAIN: Final = "MainThread"
_OUTERMOST, _FILE = "_bootstrap", "threading.py"
_NAME: Final = "_name"
# A longer name is cut, and ends in "…": it is a column of a table, and stored with every profile.
LONGEST_NAME: Final = 256
_CUT: Final = "…"
_THREADS_LIMIT: Final = 2000
_LARGEST_ID: Final = 1 << 31
# A thread that starts or ends while the list of them is read may break it.
_TRIES: Final = 10
_Item = TypeVar("_Item")
# As deep as a program gets that raised the recursion limit; each chunk of 3.11 and newer holds dozens of frames.
_FRAMES_LIMIT, _CHUNKS_LIMIT = 20_000, 2000
# A thread takes some 30 us, and of a process that lies a tenth of a second.
_LONGEST_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class ThreadName:
    """A thread.

    Attributes:
        thread_id: threading.get_ident() of it, pthread_self().
        name: "" where it has none that is known.
        interpreter: the id of the interpreter that it was found in, 0 of the main one.
    """

    thread_id: int
    name: str
    interpreter: int


def thread_names(interpreter: Interpreter, known: Mapping[int, ThreadName] | None = None) -> dict[int, ThreadName]:
    """Return the threads of a process, by the kernel's number of each in the process's own PID namespace.

    A thread that is within several interpreters is that of the one in which it has a name, else of the oldest.
    Whatever a process says, this raises nothing: of one that has ended, or changes too fast, it returns what it could
    read.

    Args:
        interpreter: CPython in that process, of a version that the sampler knows.
        known: what an earlier look found: a thread that had a name there has it still, and is not looked at again.
    """
    found: dict[int, ThreadName] = {}
    with suppress(ExecdError):  # it ends, or lies: whoever samples it finds that out
        memory = interpreter.memory
        layout = frame_layout_for(interpreter.version, memory.read(interpreter.runtime, DEBUG_OFFSETS_SIZE))
        _read_names(found, _Look(memory, layout, known or {}), interpreter.runtime)
        _fall_back(found, memory.pid)
    return found


def _read_names(found: dict[int, ThreadName], look: _Look, runtime: int) -> None:
    """Add the threads of all interpreters, oldest first, with the names that the threading module gave them."""
    deadline = time.monotonic() + _LONGEST_S
    memory, layout = look.memory, look.layout
    for address in reversed(_tried(partial(interpreters, memory, layout, runtime))):
        if time.monotonic() > deadline:
            return
        number = memory.read_u64(address + layout.interpreter.id)
        for thread in reversed(_tried(partial(threads, memory, layout, address))):
            if len(found) >= _THREADS_LIMIT or time.monotonic() > deadline:
                return
            # Of one that begins there is none yet.
            if not 0 < thread.native_id < _LARGEST_ID:
                continue
            name, known = look.name(thread), found.get(thread.native_id)
            if known is None or (name and not known.name):
                found[thread.native_id] = ThreadName(thread.thread_id, name, number)


def _tried(read: Callable[[], list[_Item]]) -> list[_Item]:
    """Return a list that may change while it is read, in one of several tries; [] where none succeeds."""
    for _ in range(_TRIES):
        with suppress(Unmapped):
            return read()
    return []


class _Look:
    """One look at the frames of a process; remembers which code objects are those of the outermost frames."""

    def __init__(self, memory: Memory, layout: FrameLayout, known: Mapping[int, ThreadName]) -> None:
        self.memory, self.layout, self._known = memory, layout, known
        self._objects = ObjectReader(memory, layout.objects)
        self._attributes = AttributeReader(memory, self._objects, layout.objects, layout.version)
        self._frame_size = layout.frame.localsplus + 8
        self._are_outermost: dict[int, bool] = {}

    def name(self, thread: Thread) -> str:
        """Return the threading module's name of a thread, "" where it has none."""
        known = self._known.get(thread.native_id)
        if known and known.name and known.thread_id == thread.thread_id:
            return known.name
        try:
            frame = self._outermost(thread)
            if not frame or not self._is_outermost(word(frame, self.layout.frame.code) & ~self.layout.frame.tag_bits):
                return ""
            own = word(frame, self.layout.frame.localsplus) & ~self.layout.frame.tag_bits
            name = self._objects.text(self._attributes.find(own, _NAME))
        except (Unmapped, NotAnObject):
            return ""
        return name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + _CUT

    def _outermost(self, thread: Thread) -> bytes:
        """Return the frame below which a thread has none, up to its first local; b"" where that is not found."""
        if self.layout.chunk is not None:
            return self._first_in_chunks(thread.address, self.layout.chunk)
        place = self._first_object(thread.address)
        return self.memory.read(place, self._frame_size) if place else b""

    def _first_in_chunks(self, thread_state: int, chunk: ChunkFields) -> bytes:
        """Return the first frame of a thread: its first chunk begins with a word that no frame has."""
        place = self.layout.thread.datastack_chunk
        address = 0 if place is None else self.memory.read_u64(thread_state + place)
        begin = chunk.data + 8
        for _ in range(_CHUNKS_LIMIT if address else 0):
            data = self.memory.read(address, begin + self._frame_size)
            address = word(data, chunk.previous)
            if not address:
                return data[begin:]
        return b""

    def _first_object(self, thread_state: int) -> int:
        """Return the address of the frame object that has no caller."""
        address = innermost(self.memory, self.layout, thread_state)
        for _ in range(_FRAMES_LIMIT):
            caller = self.memory.read_u64(address + self.layout.frame.previous) if address else 0
            if not caller:
                return address
            address = caller
        return 0

    def _is_outermost(self, code: int) -> bool:
        """Whether a code object is that of Thread._bootstrap."""
        if code not in self._are_outermost:
            fields = self.layout.code
            head = self._objects.start(code, fields.read_size)
            self._objects.require_type(head, b"code")
            name, file = (self._objects.text(word(head, place)) for place in (fields.name, fields.filename))
            self._are_outermost[code] = name == _OUTERMOST and file.endswith(_FILE)
        return self._are_outermost[code]


def _fall_back(found: dict[int, ThreadName], pid: int) -> None:
    """Give names to those that have none from the threading module. Raises TargetGone, NotPermitted."""
    nameless = {native_id for native_id, one in found.items() if not one.name}
    if not nameless:
        return
    own = process.inner_pids(pid)[-1]
    ours = _our_ids(pid, nested=own != pid)
    comm = _comm(pid, pid)
    for native_id in nameless:
        name = _MAIN
        if native_id != own:
            name = _comm(pid, ours.get(native_id, 0))
            name = "" if name == comm else name
        found[native_id] = ThreadName(found[native_id].thread_id, name, found[native_id].interpreter)


def _our_ids(pid: int, *, nested: bool) -> dict[int, int]:
    """Return the numbers of a process's threads as we know them, by those of its own PID namespace."""
    known: dict[int, int] = {}
    for tid in process.threads(pid):
        with suppress(ExecdError):  # one that has ended meanwhile
            known[process.inner_pids(tid)[-1] if nested else tid] = tid
    return known


def _comm(pid: int, tid: int) -> str:
    """Return what the kernel calls a thread, "" where there is none."""
    with suppress(ExecdError):
        return process.read_file(f"/proc/{pid}/task/{tid}/comm").removesuffix(b"\n").decode("utf-8", "replace")
    return ""
