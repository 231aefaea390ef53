"""The tasks of a process's event loops, read from outside: each with its coroutines, and who awaits it. From 3.14 on.

A loop that runs meanwhile may change what is read: a task that makes no sense is left out, and a list that leads
nowhere is read again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from execd.attach import process
from execd.attach.layout import DEBUG_OFFSETS_SIZE
from execd.attach.memory import Memory, Unmapped
from execd.model.dump import AwaitingTask, StackFrame
from execd.sampling.asyncio_layout import AsyncioLayout, find_asyncio
from execd.sampling.code_reader import CodeObject, CodeReader
from execd.sampling.debug_offsets import Words
from execd.sampling.frame_layout import FrameLayout, frame_layout_for
from execd.sampling.object_reader import NotAnObject, ObjectReader, word
from execd.sampling.walk import Frame, Thread, generator_frame, interpreters, threads, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execd.attach.interpreter import Interpreter

# FRAME_SUSPENDED_YIELD_FROM (pycore_frame.h), and how far below the top of its stack such a frame has what it awaits:
# 3.15 has an index above it, as of a loop (_PyGen_yf of Objects/genobject.c).
_AWAITING: Final = {(3, 14): -1, (3, 15): 2}
_AWAITED_BELOW: Final = {(3, 14): 8, (3, 15): 16}
_TAG_BITS: Final = 3
# PyLongObject (longintrepr.h, from 3.12): the number of digits from bit 3 of `lv_tag` on; digits of 30 bits.
_DIGITS_SHIFT, _DIGIT_BITS, _DIGITS_LIMIT = 3, 30, 2
_LONG_TAG, _LONG_DIGITS = 16, 24
_ENTRY, _REMOVED = 16, (1 << 64) - 1
_TASKS_LIMIT, _CHAIN_LIMIT, _AWAITERS_LIMIT = 20_000, 200, 1 << 12
_TRIES: Final = 5
# A task takes some 300 us.
_LONGEST_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Place:
    """Where tasks are: the list of a thread's, or of threads that have ended."""

    head: int
    thread: Thread | None


@dataclass(frozen=True, slots=True)
class FoundTasks:
    """The tasks of a process; `left_out`: how many ended or changed while they were read, or came too late."""

    tasks: tuple[AwaitingTask, ...]
    left_out: int


def find_tasks(interpreter: Interpreter) -> FoundTasks | None:
    """Return the tasks of a process, None where it has loaded no `_asyncio`, or the file of that is gone.

    Those that are not made by the C code of `_asyncio` are not among them.

    Args:
        interpreter: in the process.

    Raises:
        NotSupported: before 3.14 nothing says where they are.
        TargetGone, NotPermitted: it cannot be read.
    """
    memory = interpreter.memory
    start = memory.read(interpreter.runtime, DEBUG_OFFSETS_SIZE)
    layout = frame_layout_for(interpreter.version, start)
    fields = find_asyncio(memory, layout, interpreter.runtime, process.mappings(memory.pid))
    if fields is None:
        return None
    reader = _Tasks(memory, layout, fields, Words.of(layout.version, start))
    tasks = tuple(reader.read(interpreter.runtime))
    return FoundTasks(tasks, reader.left_out)


class _Tasks:
    """Reads the tasks of one process."""

    def __init__(self, memory: Memory, layout: FrameLayout, fields: AsyncioLayout, words: Words) -> None:
        self._memory, self._layout, self._fields, self._words = memory, layout, fields, words
        self._objects = ObjectReader(memory, layout.objects)
        self._codes = CodeReader(memory, layout)
        self._known: dict[int, CodeObject] = {}
        self.left_out = 0
        self._deadline = time.monotonic() + _LONGEST_S

    def read(self, runtime: int) -> Iterator[AwaitingTask]:
        """Yield the tasks of all threads."""
        for place in self._places(runtime):
            for address in self._listed(place.head) if self._has_time() else ():
                try:
                    yield self._task(address, place.thread)
                except (NotAnObject, Unmapped):
                    self.left_out += 1

    def _has_time(self) -> bool:
        return time.monotonic() < self._deadline

    def _places(self, runtime: int) -> list[_Place]:
        """Return where lists of tasks begin."""
        for _ in range(_TRIES):
            try:
                found = []
                for interpreter in reversed(interpreters(self._memory, self._layout, runtime)):
                    states = reversed(threads(self._memory, self._layout, interpreter))
                    found += [_Place(one.address + self._fields.thread_tasks, one) for one in states]
                    found.append(_Place(interpreter + self._fields.interpreter_tasks, None))
            except Unmapped:
                continue
            return found
        return []

    def _listed(self, head: int) -> list[int]:
        """Return the addresses of the tasks in a list that is linked in a circle."""
        for _ in range(_TRIES):
            found: list[int] = []
            try:
                place = self._memory.read_u64(head)
                # One that was never used has no circle yet.
                while place not in (head, 0) and len(found) < _TASKS_LIMIT:
                    found.append(place - self._fields.task_node)
                    place = self._memory.read_u64(place)
            except Unmapped:
                continue
            return found
        return []

    def _task(self, address: int, thread: Thread | None) -> AwaitingTask:
        if not self._has_time():
            raise NotAnObject("a task that there is no time for")
        fields = self._fields
        data, name = self._seen(address)
        coroutine = word(data, fields.task_coro)
        is_running = thread is not None and self._memory.read_u64(thread.address + fields.running_task) == address
        frames = self._running(thread, coroutine) if thread and is_running else self._suspended(coroutine)
        task = AwaitingTask(
            address=address,
            name=name,
            thread=thread.native_id if thread else 0,
            is_running=is_running,
            frames=tuple(map(self._shown, frames)),
            awaited_by=tuple(sorted(self._awaiting_tasks(address))),
        )
        again, name_again = self._seen(address)
        if name != name_again or any(word(data, at) != word(again, at) for at in (fields.task_coro, fields.task_name)):
            raise NotAnObject("another task by now")
        return task

    def _seen(self, address: int) -> tuple[bytes, str]:
        """Return what there is of a task, and its name. One that has ended is in no list (llist.h, llist_remove)."""
        data = self._memory.read(address, self._fields.task_size)
        if not word(data, self._fields.task_node):
            raise NotAnObject("a task that has ended")
        return data, self._name(word(data, self._fields.task_name))

    def _name(self, address: int) -> str:
        """Return a task's name: until somebody asks for it, a number stands for one that was not given."""
        try:
            return self._objects.text(address)
        except NotAnObject:
            head = self._objects.start(address, _LONG_DIGITS + 8)
            self._objects.require_type(head, b"int")
            count = word(head, _LONG_TAG) >> _DIGITS_SHIFT
            if count > _DIGITS_LIMIT:
                raise
            digits = word(head, _LONG_DIGITS)
            low, high = digits & 0xFFFFFFFF, digits >> 32 if count == _DIGITS_LIMIT else 0
            return f"Task-{low + (high << _DIGIT_BITS)}"

    def _running(self, thread: Thread, coroutine: int) -> list[Frame]:
        """Return the frames of the coroutine that a thread runs, and what it has called, innermost first."""
        frames = walk(self._memory, self._layout, thread.address, _CHAIN_LIMIT).frames
        last = next((at for at, frame in enumerate(frames) if frame.generator == coroutine), -1)
        return list(frames[: last + 1])

    def _suspended(self, coroutine: int) -> list[Frame]:
        """Return the frames of a coroutine and of those that it awaits, innermost first."""
        found: list[Frame] = []
        while coroutine and len(found) < _CHAIN_LIMIT:
            frame = generator_frame(self._memory, self._layout, coroutine)
            if frame is None:
                break
            found.append(frame)
            coroutine = self._awaited(coroutine, frame)
        return found[::-1]

    def _awaited(self, coroutine: int, frame: Frame) -> int:
        """Return the coroutine that one awaits, 0 where it is none: a future, or what is written in C."""
        place = self._layout.generator.state
        data = b"" if place is None else self._memory.read(coroutine + place, 1)
        if int.from_bytes(data, "little", signed=True) != _AWAITING[self._layout.version]:
            return 0
        top = self._memory.read_u64(frame.address + self._words.get("frame.stackpointer"))
        awaited = self._memory.read_u64(top - _AWAITED_BELOW[self._layout.version]) & ~_TAG_BITS
        kind = self._layout.objects.type
        same = awaited and self._memory.read_u64(awaited + kind) == self._memory.read_u64(coroutine + kind)
        return awaited if same else 0

    def _awaiting_tasks(self, address: int) -> set[int]:
        """Return the tasks that await one, also by way of futures, as those of gather do."""
        found: set[int] = set()
        seen, waiting = {address}, [address]
        while waiting and len(seen) < _AWAITERS_LIMIT and self._has_time():
            for awaiter in self._awaiters(waiting.pop()):
                if awaiter in seen:
                    continue
                seen.add(awaiter)
                is_task = self._memory.read(awaiter + self._fields.task_is_task, 1) == b"\1"
                (found.add if is_task else waiting.append)(awaiter)
        return found

    def _awaiters(self, address: int) -> list[int]:
        """Return what awaits a task or future directly: nothing, one, or a set of them."""
        awaiter = self._memory.read_u64(address + self._fields.task_awaited_by)
        if not awaiter:
            return []
        if self._memory.read(address + self._fields.task_awaited_by_is_set, 1) != b"\1":
            return [awaiter]
        size = self._memory.read_u64(awaiter + self._words.get("set.mask")) + 1
        if size > _AWAITERS_LIMIT:
            raise NotAnObject(f"a set of {size} places")
        # Each place is a pointer and a hash, which is -1 of none but a removed element (Objects/setobject.c).
        table = self._memory.read(self._memory.read_u64(awaiter + self._words.get("set.table")), size * _ENTRY)
        rows = [(word(table, at), word(table, at + 8)) for at in range(0, size * _ENTRY, _ENTRY)]
        return [key for key, key_hash in rows if key and key_hash != _REMOVED]

    def _shown(self, frame: Frame) -> StackFrame:
        code = self._known.get(frame.code) or (self._codes.read(frame.code) if self._has_time() else None)
        if not isinstance(code, CodeObject):
            raise NotAnObject(f"a frame at {frame.address:#x} without code")
        self._known[frame.code] = code
        return StackFrame(code.qualname, code.filename, code.lines.line(frame.offset) or 0)
