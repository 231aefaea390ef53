"""Stacks of a process, frame by frame: the slow reference of the sampler, and what shows those of a stopped one.

Of a running one a walk may be torn: then it is not `whole`, or it is and never was; who wants to know walks twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.attach.memory import Memory, Unmapped
from execd.sampling.code_reader import CodeReader
from execd.sampling.object_reader import word

if TYPE_CHECKING:
    from execd.sampling.frame_layout import FrameLayout

# Since 3.11 the recursion limit alone bounds a stack, and a program may set it as it likes.
FRAMES_LIMIT = 200_000
_THREADS_LIMIT = 20_000
_INTERPRETERS_LIMIT = 10_000
# FRAME_OWNED_BY_GENERATOR, in every version.
_OWNED_BY_GENERATOR = 1


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of Python.

    Attributes:
        address: of the frame.
        code: address of its code object.
        offset: of its instruction, in bytes from the beginning of the code; below 0 before the first.
        generator: the address of the generator that it is of, 0 for none.
    """

    address: int
    code: int
    offset: int
    generator: int


@dataclass(frozen=True, slots=True)
class Stack:
    """The frames of a thread, innermost first.

    Attributes:
        frames: those of Python.
        whole: they go down to the root.
        cut: there are more than were wanted.
    """

    frames: tuple[Frame, ...]
    whole: bool
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread state: its address, its interpreter's, pthread_self(), and the kernel's id in the target's namespace.

    `native_id` is 0 where it cannot be read.
    """

    address: int
    interpreter: int
    thread_id: int
    native_id: int


def interpreters(memory: Memory, layout: FrameLayout, runtime: int) -> list[int]:
    """Return the addresses of all interpreters, newest first. Raises Unmapped where they change under us."""
    found: list[int] = []
    address = memory.read_u64(runtime + layout.runtime.interpreters_head)
    while address and len(found) < _INTERPRETERS_LIMIT:
        found.append(address)
        address = memory.read_u64(address + layout.interpreter.next)
    return found


def threads(memory: Memory, layout: FrameLayout, interpreter: int) -> list[Thread]:
    """Return the thread states of an interpreter, newest first. Raises Unmapped where they change under us."""
    found: list[Thread] = []
    fields = layout.thread
    address = memory.read_u64(interpreter + layout.interpreter.threads_head)
    while address and len(found) < _THREADS_LIMIT:
        state = memory.read(address, fields.read_size)
        thread_id = word(state, fields.thread_id)
        found.append(Thread(address, word(state, fields.interpreter), thread_id, _native_id(memory, layout, state)))
        address = word(state, fields.next)
    return found


def walk(memory: Memory, layout: FrameLayout, thread_state: int, limit: int = FRAMES_LIMIT) -> Stack:
    """Return the frames of a thread: those that CPython shows, none that has not begun, none of the C stack.

    Args:
        memory: of the process.
        layout: that fits it.
        thread_state: its address.
        limit: how many frames are read, those of the C stack among them; a stack of more is not whole but cut.

    Raises:
        TargetGone, NotPermitted: the process cannot be read any more.
    """
    reader = CodeReader(memory, layout)
    begins: dict[int, int] = {}
    frames: list[Frame] = []
    seen: set[int] = set()
    address = last = 0
    try:
        address = innermost(memory, layout, thread_state)
        while address and address not in seen and len(seen) < limit:
            seen.add(address)
            last = address
            address, frame = _frame(memory, layout, address)
            if frame is not None and _has_begun(layout, frame, reader, begins):
                frames.append(frame)
        whole = not address and _is_root(memory, layout, thread_state, last)
    except Unmapped:
        address, whole = 0, False
    return Stack(tuple(frames), whole, cut=len(seen) >= limit and address not in (0, *seen))


def generator_frame(memory: Memory, layout: FrameLayout, generator: int) -> Frame | None:
    """Return the frame of a generator, coroutine or asynchronous generator, suspended or not; None once it has ended.

    Args:
        memory: of the process.
        layout: that fits it.
        generator: its address.

    Raises:
        Unmapped: there is none.
    """
    fields = layout.generator
    if not fields.frame_is_embedded:
        address = memory.read_u64(generator + fields.frame)
        return _frame(memory, layout, address)[1] if address else None
    if fields.state is not None:
        state = int.from_bytes(memory.read(generator + fields.state, 1), "little", signed=True)
        if state > fields.executing:
            return None
    return _frame(memory, layout, generator + fields.frame)[1]


def innermost(memory: Memory, layout: FrameLayout, thread_state: int) -> int:
    """Return the address of a thread's innermost frame, 0 where it has none. Raises Unmapped."""
    fields = layout.thread
    address = memory.read_u64(thread_state + fields.frame)
    if fields.frame_in_cframe is None or not address:
        return address
    return memory.read_u64(address + fields.frame_in_cframe)


def _frame(memory: Memory, layout: FrameLayout, address: int) -> tuple[int, Frame | None]:
    """Return the caller's address and the frame at an address, None where that is none of Python.

    Raises:
        Unmapped: there is no frame at all.
    """
    fields = layout.frame
    data = memory.read(address, fields.read_size)
    previous, code = word(data, fields.previous), word(data, fields.code) & ~fields.tag_bits
    owner = 0 if fields.owner is None else data[fields.owner]
    if owner >= fields.owners:
        raise Unmapped(f"there is no frame at {address:#x}", address=address)
    if fields.hidden_owner is not None and owner >= fields.hidden_owner:
        return previous, None
    if not code:
        raise Unmapped(f"the frame at {address:#x} has no code", address=address)
    generator = 0
    if fields.generator is not None:
        generator = word(data, fields.generator)
    elif owner == _OWNED_BY_GENERATOR:
        generator = address - layout.generator.frame
    return previous, Frame(address, code, _offset(layout, data, code), generator)


def _offset(layout: FrameLayout, data: bytes, code: int) -> int:
    fields = layout.frame
    if fields.instruction_is_pointer:
        return word(data, fields.instruction) - code - layout.code.code
    number = int.from_bytes(data[fields.instruction : fields.instruction + 4], "little", signed=True)
    return number * fields.instruction_unit if number > 0 else number


def _has_begun(layout: FrameLayout, frame: Frame, reader: CodeReader, begins: dict[int, int]) -> bool:
    """Whether CPython shows a frame (_PyFrame_IsIncomplete): before its first traceable instruction it does not."""
    if layout.code.first_traceable is None or frame.generator:
        return True
    if frame.code not in begins:
        begins[frame.code] = reader.first_traceable(frame.code)
    return frame.offset >= begins[frame.code]


def _is_root(memory: Memory, layout: FrameLayout, thread_state: int, frame: int) -> bool:
    """Whether a chain that ends with this frame, 0 for one of none, is one down to the root."""
    base = layout.thread.base_frame
    return base is None or memory.read_u64(thread_state + base) == frame


def _native_id(memory: Memory, layout: FrameLayout, state: bytes) -> int:
    fields = layout.thread
    if fields.native_thread_id is not None:
        return word(state, fields.native_thread_id)
    if fields.pthread_tid is None:
        return 0
    try:
        return memory.read_u32(word(state, fields.thread_id) + fields.pthread_tid)
    except Unmapped:
        return 0
