"""Where thread states, stack chunks, frames, generators and code objects lie, by CPython version, x86_64.

3.9 to 3.12: offsets computed with offsetof() on the headers of 3.9.18, 3.10.13, 3.11.7 and 3.12.1. 3.13 and newer:
the target's own `_Py_DebugOffsets` (`debug_offsets.py`), what it lacks relative to what it has, from the headers of
3.13.0, 3.14.8 and 3.15.0. What an attach needs too comes from its table (`execd.attach.layout`), not a second time.
A layout is used only after `layout_check.check` found that it fits the process.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from execd.attach.layout import layout_for
from execd.sampling.debug_offsets import Words
from execd.sampling.fields import (
    ChunkFields,
    CodeFields,
    Flag,
    FrameFields,
    GeneratorFields,
    InterpreterFields,
    ObjectFields,
    RuntimeFields,
    ThreadFields,
)

if TYPE_CHECKING:
    from execd.attach.layout import Layout

# From here on frames lie in chunks and in generators; before that each is an object of its own.
_CHUNKED_SINCE = (3, 11)
_DEBUG_OFFSETS_SINCE = (3, 13)
_OWN_GIL_WORD_SINCE = (3, 14)
_TAGGED_SINCE = (3, 14)
# struct pthread of glibc, x86_64: `tid` (nptl/descr.h). The check compares what is there with the kernel's ids.
_PTHREAD_TID = 720
# Bits of `_status` (Include/cpython/pystate.h): active from 3.12; holds_gil in 3.13 alone, then a word of its own.
_ACTIVE = 1 << 4
_HOLDS_GIL = 1 << 5
_WHOLE_WORD = 0xFFFFFFFF
# Stack references (pycore_stackref.h, Py_TAG_BITS of a build with the GIL).
_TAG_BITS = 3


@dataclass(frozen=True, slots=True)
class FrameLayout:
    """All of it, for one build of CPython; `chunk` from 3.11, else None."""

    version: tuple[int, int]
    runtime: RuntimeFields
    interpreter: InterpreterFields
    thread: ThreadFields
    chunk: ChunkFields | None
    frame: FrameFields
    generator: GeneratorFields
    code: CodeFields
    objects: ObjectFields


def frame_layout_for(version: tuple[int, int], runtime_start: bytes) -> FrameLayout:
    """Return the layout of a version.

    Args:
        version: major and minor, as found by symbols; from 3.13 the debug offsets must say the same.
        runtime_start: the first `attach.layout.DEBUG_OFFSETS_SIZE` bytes of _PyRuntime.

    Raises:
        NotSupported: no layout is known for it, its debug offsets are none, are of another version or do not have the
            values that every build of that version has, or it is a free-threaded build.
    """
    attach = layout_for(version, runtime_start)
    if version >= _DEBUG_OFFSETS_SINCE:
        return _from_words(attach, Words.of(version, runtime_start))
    identifier, collecting = _INTERPRETER[version]
    return FrameLayout(
        version=version,
        runtime=_runtime(attach),
        interpreter=_interpreter(attach, identifier, collecting),
        thread=_thread_of_objects(attach) if version < _CHUNKED_SINCE else _thread_of_cframe(attach, *_CFRAME[version]),
        chunk=ChunkFields() if version >= _CHUNKED_SINCE else None,
        frame=_FRAME[version],
        generator=_GENERATOR[version],
        code=_CODE[version],
        objects=_OBJECTS[version],
    )


def _runtime(attach: Layout) -> RuntimeFields:
    # The head of the list of interpreters lies before its main one (struct pyinterpreters).
    return RuntimeFields(attach.main_interpreter - 8, attach.finalizing, attach.current_thread)


def _interpreter(attach: Layout, identifier: int, collecting: int) -> InterpreterFields:
    return InterpreterFields(
        next=attach.next_interpreter,
        id=identifier,
        threads_head=attach.threads_head,
        main_thread=None,
        gil=attach.gil,
        gil_is_pointer=attach.gil_is_pointer,
        collecting=collecting,
        collecting_frame=None,
    )


def _thread_of_objects(attach: Layout) -> ThreadFields:
    """Return the fields of 3.9 and 3.10."""
    return ThreadFields(
        read_size=attach.thread_id + 8,
        previous=0,
        next=attach.next_thread,
        interpreter=attach.interpreter,
        thread_id=attach.thread_id,
        native_thread_id=None,
        pthread_tid=_PTHREAD_TID,
        frame=24,
        frame_in_cframe=None,
        base_frame=None,
        datastack_chunk=None,
        datastack_top=None,
        datastack_limit=None,
        active=None,
        holds_gil=None,
        attached=None,
        gil_requested=None,
        exception=88,
    )


def _thread_of_cframe(attach: Layout, chunk: int, in_cframe: int) -> ThreadFields:
    """Return the fields of 3.11 and 3.12."""
    return ThreadFields(
        read_size=chunk + 24,
        previous=0,
        next=attach.next_thread,
        interpreter=attach.interpreter,
        thread_id=attach.thread_id,
        native_thread_id=attach.thread_id + 8,
        pthread_tid=None,
        frame=56,
        frame_in_cframe=in_cframe,
        base_frame=None,
        datastack_chunk=chunk,
        datastack_top=chunk + 8,
        datastack_limit=chunk + 16,
        active=None if attach.status is None else Flag(attach.status, _ACTIVE),
        holds_gil=None,
        attached=None,
        gil_requested=None,
        exception=96,
    )


# Of 3.9 to 3.12: the interpreter's id and gc.collecting; datastack_chunk and the frame's place in a _PyCFrame.
_INTERPRETER = {(3, 9): (24, 616 + 200), (3, 10): (24, 616 + 200), (3, 11): (48, 648 + 200), (3, 12): (8, 112 + 200)}
_CFRAME = {(3, 11): (296, 8), (3, 12): (232, 0)}

_FRAME_3_9 = FrameFields(
    read_size=120,
    code=32,
    tag_bits=0,
    previous=24,
    instruction=104,
    instruction_is_pointer=False,
    instruction_unit=1,
    owner=None,
    executing=116,
    executing_mark=1,
    hidden_owner=None,
    owners=1,
    globals=48,
    generator=96,
    localsplus=360,
)
_FRAME_3_11 = FrameFields(
    read_size=72,
    code=32,
    tag_bits=0,
    previous=48,
    instruction=56,
    instruction_is_pointer=True,
    instruction_unit=2,
    owner=69,
    executing=None,
    executing_mark=0,
    hidden_owner=None,
    owners=3,
    globals=8,
    generator=None,
    localsplus=72,
)
_FRAME = {
    (3, 9): _FRAME_3_9,
    (3, 10): replace(
        _FRAME_3_9,
        read_size=112,
        instruction=96,
        instruction_unit=2,
        executing=108,
        executing_mark=0,
        generator=88,
        localsplus=352,
    ),
    (3, 11): _FRAME_3_11,
    (3, 12): replace(_FRAME_3_11, code=0, previous=8, owner=70, hidden_owner=3, owners=4, globals=24),
}
_GENERATOR = {
    (3, 9): GeneratorFields(frame=16, frame_is_embedded=False, state=None, executing=0),
    (3, 10): GeneratorFields(frame=16, frame_is_embedded=False, state=None, executing=0),
    (3, 11): GeneratorFields(frame=80, frame_is_embedded=True, state=75, executing=0),
    (3, 12): GeneratorFields(frame=72, frame_is_embedded=True, state=67, executing=0),
}
_CODE_3_9 = CodeFields(
    read_size=128,
    first_line=40,
    filename=104,
    name=112,
    qualname=None,
    line_table=120,
    code=48,
    code_is_embedded=False,
    units=None,
    first_traceable=None,
    stack_size=32,
    locals_size=28,
    frame_size=None,
    # Stack size, flags, first line; code, constants, names; file, name, line table.
    fingerprint=((32, 12), (48, 24), (104, 24)),
    serial=None,
)
_CODE = {
    (3, 9): _CODE_3_9,
    (3, 10): _CODE_3_9,
    (3, 11): CodeFields(
        read_size=184,
        first_line=72,
        filename=112,
        name=120,
        qualname=128,
        line_table=136,
        code=184,
        code_is_embedded=True,
        units=16,
        first_traceable=168,
        stack_size=68,
        locals_size=76,
        frame_size=None,
        # Units, constants, names; first line and number of locals; file, name, qualname, line table.
        fingerprint=((16, 24), (72, 8), (112, 32)),
        serial=None,
    ),
    (3, 12): CodeFields(
        read_size=192,
        first_line=68,
        filename=112,
        name=120,
        qualname=128,
        line_table=136,
        code=192,
        code_is_embedded=True,
        units=16,
        first_traceable=176,
        stack_size=64,
        locals_size=72,
        frame_size=76,
        # Units; first line to co_version; name, qualname, line table.
        fingerprint=((16, 8), (68, 28), (120, 24)),
        serial=92,
    ),
}
_OBJECTS_3_9 = ObjectFields(ascii_size=48, compact_size=72, text_data=72, wide_text=40, wide_length=64, tuple_items=24)
_OBJECTS_3_12 = ObjectFields(
    ascii_size=40, compact_size=56, text_data=56, wide_text=None, wide_length=None, tuple_items=24
)
_OBJECTS = {(3, 9): _OBJECTS_3_9, (3, 10): _OBJECTS_3_9, (3, 11): _OBJECTS_3_9, (3, 12): _OBJECTS_3_12}


def _from_words(attach: Layout, words: Words) -> FrameLayout:
    """Return the layout of 3.13 and newer."""
    collecting_frame = words.find("gc.frame")
    return FrameLayout(
        version=attach.version,
        runtime=_runtime(attach),
        interpreter=replace(
            _interpreter(attach, words.get("interpreter.id"), words.get("interpreter.gc") + words.get("gc.collecting")),
            # 3.13 has no word for it: in its header it comes after the head of the list (struct pythreads).
            main_thread=words.find("interpreter.main_thread") or attach.threads_head + 8,
            collecting_frame=None if collecting_frame is None else words.get("interpreter.gc") + collecting_frame,
        ),
        thread=_thread_of_words(attach, words),
        chunk=ChunkFields(),
        frame=_frame_of_words(words),
        generator=_generator_of_words(words),
        code=_code_of_words(words),
        objects=replace(_OBJECTS_3_12, tuple_items=words.get("tuple.items")),
    )


def _thread_of_words(attach: Layout, words: Words) -> ThreadFields:
    chunk, status, frame = (words.get(f"thread.{name}") for name in ("datastack_chunk", "status", "frame"))
    own_word = attach.version >= _OWN_GIL_WORD_SINCE
    holds_gil = words.find("thread.holds_gil") or status + (4 if own_word else 0)
    requested = words.find("thread.gil_requested")
    # `state` comes after `_whence`, which comes after all that is said of the GIL.
    attached = (requested or (holds_gil if own_word else status)) + 8
    return ThreadFields(
        read_size=chunk + 24,
        previous=0,
        next=attach.next_thread,
        interpreter=attach.interpreter,
        thread_id=attach.thread_id,
        native_thread_id=words.get("thread.native_thread_id"),
        pthread_tid=None,
        frame=frame,
        frame_in_cframe=None,
        base_frame=words.find("thread.base_frame"),
        datastack_chunk=chunk,
        datastack_top=chunk + 8,
        datastack_limit=chunk + 16,
        active=Flag(status, _ACTIVE),
        holds_gil=Flag(holds_gil, _WHOLE_WORD if own_word else _HOLDS_GIL),
        attached=attached,
        gil_requested=requested,
        # Five pointers after the frame (profile and trace function, their objects), in 3.15 three more between.
        exception=words.find("thread.exception") or frame + 40,
    )


def _frame_of_words(words: Words) -> FrameFields:
    localsplus = words.get("frame.localsplus")
    return replace(
        _FRAME[3, 12],
        read_size=localsplus,
        previous=words.get("frame.previous"),
        instruction=words.get("frame.instruction"),
        tag_bits=_TAG_BITS if words.version >= _TAGGED_SINCE else 0,
        owner=words.get("frame.owner"),
        owners=_OWNERS.get(words.version, _FRAME[3, 12].owners),
        localsplus=localsplus,
    )


def _generator_of_words(words: Words) -> GeneratorFields:
    # 3.13 has no words of it; its header has it where 3.12 does.
    frame, state = words.find("generator.frame"), words.find("generator.state")
    return replace(
        _GENERATOR[3, 12],
        frame=_GENERATOR[3, 12].frame if frame is None else frame,
        state=_GENERATOR[3, 12].state if state is None else state,
        executing=_EXECUTING.get(words.version, 0),
    )


# 3.14 has the interpreter's frames and those of the C stack apart (pycore_interpframe_structs.h).
_OWNERS = {(3, 14): 5}
# FRAME_EXECUTING (pycore_frame.h) where it is not 0.
_EXECUTING = {(3, 15): 4}


def _code_of_words(words: Words) -> CodeFields:
    code, first_line = words.get("code.code"), words.get("code.first_line")
    return replace(
        _CODE[3, 12],
        read_size=code,
        first_line=first_line,
        filename=words.get("code.filename"),
        name=words.get("code.name"),
        qualname=words.get("code.qualname"),
        line_table=words.get("code.line_table"),
        code=code,
        first_traceable=code - 16,
        stack_size=first_line - 4,
        locals_size=first_line + 4,
        frame_size=first_line + 8,
        fingerprint=((16, 8), (first_line, 28), (words.get("code.name"), 24)),
        serial=first_line + 24,
    )
