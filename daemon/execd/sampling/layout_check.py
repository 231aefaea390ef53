"""Whether a layout fits a process: nothing of a table is believed before it was seen to be true there.

A running target changes while it is looked at, so what does not fit once is looked at again; offsets that are wrong
do not fit at any time.
"""

from __future__ import annotations

import time
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING

from execd.attach import process
from execd.attach.layout import DEBUG_OFFSETS_SIZE
from execd.attach.memory import Memory, Unmapped
from execd.errors import AttachBusy, NotSupported, TargetGone
from execd.sampling.code_reader import UNIT, CodeObject, CodeReader, Unreadable
from execd.sampling.debug_offsets import Words
from execd.sampling.object_reader import NotAnObject, ObjectReader, word
from execd.sampling.walk import Frame, Stack, Thread, interpreters, threads, walk

if TYPE_CHECKING:
    from execd.sampling.frame_layout import FrameLayout

# Of a program that goes up and down through chunks, which are mapped and unmapped, every second look is torn. No two
# pauses are the same, so that they do not keep time with what goes round in it.
_PAUSES_S = (*(0.0003 * look for look in range(1, 20)), 0.013, 0.037)
# On a machine with much to do.
_FIRST_TURN_S, _LOOK_S = 2.0, 0.005
_THREADS_CHECKED = 32
_INTERPRETERS_CHECKED = 16
_FRAMES_CHECKED = 64
_CODES_CHECKED = 64
# A program that goes deep and comes back all the time is torn in every look; but wrong offsets do not lead from one
# frame to the next so often.
_LINKED_FRAMES = 3
_GIL_LOCKED_VALUES = (0, 1, 0xFFFFFFFF)
_FLAG_VALUES = (0, 1)
_PAGE = 4096
_CHUNKS_LIMIT = 10_000


def check(memory: Memory, layout: FrameLayout, runtime: int) -> None:
    """Find out whether a layout fits a process.

    Args:
        memory: of the process.
        layout: from `frame_layout_for`.
        runtime: the address of _PyRuntime.

    Raises:
        NotSupported: it does not; the message names what did not fit.
        AttachBusy: no thread runs Python, so that there is no frame to look at.
        TargetGone, NotPermitted: the process cannot be read.
    """
    misfit = _lasting_misfit(memory, layout, runtime)
    if misfit and _has_its_first_turn(memory.pid):
        misfit = _lasting_misfit(memory, layout, runtime)
    if not misfit:
        return
    major, minor = layout.version
    raise NotSupported(
        f"the frames of this CPython {major}.{minor} are not laid out as in the releases execd knows: {misfit}",
        remedy="report the build; its offsets can be added",
        version=f"{major}.{minor}",
        misfit=misfit,
    )


def _lasting_misfit(memory: Memory, layout: FrameLayout, runtime: int) -> str:
    """Return what does not fit in any of several looks, "" where all does in one."""
    misfit = ""
    for pause_s in _PAUSES_S:
        misfit = _misfit(memory, layout, runtime)
        if not misfit:
            break
        time.sleep(pause_s)
    return misfit


def _has_its_first_turn(pid: int) -> bool:
    """Whether a forked child was given a processor only now: until then its memory holds its parent's numbers."""
    if process.cpu_ns(pid):
        return False
    deadline = time.monotonic() + _FIRST_TURN_S
    while not process.cpu_ns(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_S)
    return True


def _misfit(memory: Memory, layout: FrameLayout, runtime: int) -> str:
    """Return what does not fit, "" where all does."""
    try:
        if layout.version >= (3, 13):
            Words.of(layout.version, memory.read(runtime, DEBUG_OFFSETS_SIZE))
        found = interpreters(memory, layout, runtime)
        misfit = _interpreters_misfit(memory, layout, found)
        main = found[-1] if found else 0
        states = threads(memory, layout, main) if not misfit else []
        return (
            misfit
            or _threads_misfit(memory, layout, main, states)
            or _gil_misfit(memory, layout, runtime, main)
            or _stacks_misfit(memory, layout, states)
        )
    except Unmapped as error:
        return error.message


def _interpreters_misfit(memory: Memory, layout: FrameLayout, found: list[int]) -> str:
    """The oldest has id 0, those after it more, and either collects garbage or does not."""
    if not found:
        return "there is no interpreter"
    oldest_first = found[::-1][:_INTERPRETERS_CHECKED]
    identifiers = [memory.read_u64(one + layout.interpreter.id) for one in oldest_first]
    if identifiers[0] or any(later <= earlier for earlier, later in pairwise(identifiers)):
        return f"the ids of the interpreters are {identifiers}"
    if memory.read_u32(found[-1] + layout.interpreter.collecting) not in _FLAG_VALUES:
        return "gc.collecting is neither 0 nor 1"
    return ""


def _threads_misfit(memory: Memory, layout: FrameLayout, interpreter: int, states: list[Thread]) -> str:
    """The thread states are linked both ways, of their interpreter, and of threads that there are."""
    if not states:
        return "there is no thread"
    fields = layout.thread
    if any(state.interpreter != interpreter for state in states):
        return "a thread is of another interpreter"
    links = [memory.read_u64(state.address + fields.previous) for state in states[:_THREADS_CHECKED]]
    # A thread that starts or ends while we read breaks a link or two; offsets that are wrong break all.
    before = [0, *(state.address for state in states)]
    if 2 * sum(map(int.__eq__, links, before)) < len(links):
        return "the list of threads is not linked both ways"
    known = _kernel_ids(memory.pid)
    # One in the midst of starting has none yet.
    if known and not any(state.native_id in known for state in states):
        return f"no thread has one of the ids {sorted(known)[:_THREADS_CHECKED]}"
    return ""


def _gil_misfit(memory: Memory, layout: FrameLayout, runtime: int, interpreter: int) -> str:
    fields = layout.interpreter
    lock = memory.read_u64(interpreter + fields.gil) if fields.gil_is_pointer else runtime + fields.gil
    locked = memory.read_u32(lock + fields.gil_locked)
    return "" if locked in _GIL_LOCKED_VALUES else f"the lock is held {locked} times"


def _kernel_ids(pid: int) -> set[int]:
    """Return the numbers that the kernel knows the threads of a process by, in whatever PID namespace."""
    known: set[int] = set()
    for tid in process.threads(pid):
        # One that has ended meanwhile has no number any more.
        with suppress(TargetGone):
            known.update(process.inner_pids(tid))
    return known


def _stacks_misfit(memory: Memory, layout: FrameLayout, states: list[Thread]) -> str:
    """Every thread's data stack is one; most stacks lead somewhere, and most frames to code that can be read.

    Of a thread that runs meanwhile a frame or two are torn; what lies below them is not.

    Raises:
        AttachBusy: no thread has a frame, so that nothing can be said.
    """
    checked = [state.address for state in states[:_THREADS_CHECKED]]
    misfit = next(filter(None, (_chunk_misfit(memory, layout, address) for address in checked)), "")
    if misfit:
        return misfit
    stacks = [walk(memory, layout, address, _FRAMES_CHECKED) for address in checked]
    linked = sum(stack.whole or stack.cut or len(stack.frames) >= _LINKED_FRAMES for stack in stacks)
    if 2 * linked < len(stacks):
        return f"of {len(stacks)} stacks {linked} lead anywhere"
    if not any(stack.frames for stack in stacks):
        if any(_has_data(memory, layout, address) for address in checked):
            return "no thread has a frame, though one has locals"
        raise AttachBusy("no thread of the target runs Python now", remedy="try again when one does")
    return _frames_misfit(memory, layout, stacks)


def _frames_misfit(memory: Memory, layout: FrameLayout, stacks: list[Stack]) -> str:
    reader = CodeReader(memory, layout)
    frames = [frame for stack in stacks for frame in stack.frames]
    codes = {code: reader.read(code) for code in sorted({frame.code for frame in frames})[:_CODES_CHECKED]}
    looked_at = [frame for frame in frames if frame.code in codes]
    sound = sum(_is_sound(memory, layout, codes[frame.code], frame) for frame in looked_at)
    if 2 * sound <= len(looked_at):
        return f"of {len(looked_at)} frames {sound} lead to code"
    # A frame that has called another one is past its first instruction.
    callers = [frame for stack in stacks for frame in stack.frames[1:]]
    if 2 * sum(frame.offset > 0 for frame in callers) < len(callers):
        return f"most of {len(callers)} frames that have called others have not begun"
    return ""


def _is_sound(memory: Memory, layout: FrameLayout, code: CodeObject | Unreadable, frame: Frame) -> bool:
    """Whether a frame's instruction lies in code that has lines and a name, and its sizes agree."""
    if isinstance(code, Unreadable) or not code.name or not code.lines.starts:
        return False
    if layout.chunk is None and not _is_frame_object(memory, layout, frame.address):
        return False
    fields = layout.code
    if fields.frame_size is not None:
        sizes = (fields.frame_size, fields.locals_size, fields.stack_size)
        whole, local, stack = (memory.read_u32(code.address + place) for place in sizes)
        if whole != local + stack + layout.frame.localsplus // 8:
            return False
    return -UNIT <= frame.offset < code.length


def _is_frame_object(memory: Memory, layout: FrameLayout, address: int) -> bool:
    try:
        objects = ObjectReader(memory, layout.objects)
        objects.require_type(objects.start(address, layout.objects.size), b"frame")
    except NotAnObject:
        return False
    return True


def _has_data(memory: Memory, layout: FrameLayout, thread_state: int) -> bool:
    """Whether a thread's data stack holds a frame; the first word of its first chunk is never one's."""
    fields, chunk = layout.thread, layout.chunk
    if chunk is None or fields.datastack_chunk is None:
        return False
    data = memory.read(thread_state + fields.datastack_chunk, 16)
    address, top = word(data, 0), word(data, 8)
    return bool(address) and top > address + chunk.data + 8


def _chunk_misfit(memory: Memory, layout: FrameLayout, thread_state: int) -> str:
    """The newest chunk holds the top and ends at the limit; those below it are as large as pages and have an end."""
    fields, chunk = layout.thread, layout.chunk
    if chunk is None or fields.datastack_chunk is None:
        return ""
    data = memory.read(thread_state + fields.datastack_chunk, 24)
    address, top, limit = (word(data, offset) for offset in (0, 8, 16))
    if not address:
        return "" if not top and not limit else "a data stack without a chunk"
    if not address + chunk.data <= top <= limit or limit != address + memory.read_u64(address + chunk.size):
        return f"the data stack at {address:#x} ends at {limit:#x} and is filled to {top:#x}"
    for _ in range(_CHUNKS_LIMIT):
        if memory.read_u64(address + chunk.size) % _PAGE:
            return f"the chunk at {address:#x} is not made of pages"
        address = memory.read_u64(address + chunk.previous)
        if not address:
            return ""
    return "the data stack has no end"
