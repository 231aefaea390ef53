"""The structs of CPython that a sampler reads, as far as it reads them, each with its source.

Offsets are in bytes from the beginning of their struct, words have 8 bytes. `frame_layout.py` has the values.
"""

from __future__ import annotations

from dataclasses import dataclass

from execd.attach.layout import GIL_HOLDER, GIL_LOCKED


@dataclass(frozen=True, slots=True)
class Flag:
    """A bit of a 4-byte word: its offset, and its mask."""

    offset: int
    mask: int


@dataclass(frozen=True, slots=True)
class RuntimeFields:
    """_PyRuntimeState (pycore_runtime.h).

    Attributes:
        interpreters_head: the newest interpreter.
        finalizing: the thread state that ends the process, or 0.
        current_thread: the thread state that holds the GIL, up to 3.11; else None.
    """

    interpreters_head: int
    finalizing: int
    current_thread: int | None


@dataclass(frozen=True, slots=True)
class InterpreterFields:
    """PyInterpreterState (pycore_interp.h).

    Attributes:
        next: the next older interpreter, 0 after the last.
        id: 8 bytes; that of the main interpreter is 0.
        threads_head: the newest thread state.
        main_thread: the thread state that runs __main__, 0 where none does; from 3.13, else None.
        gil: from _PyRuntime where `gil_is_pointer` is not set (to 3.11), else the interpreter's pointer to it.
        gil_holder, gil_locked: from the lock: the thread state that holds it or held it last; 4 bytes, 1 while held.
        collecting: gc.collecting, 4 bytes, 1 during a collection.
        collecting_frame: gc.frame, the frame in which the collection began; from 3.15, else None.
    """

    next: int
    id: int
    threads_head: int
    main_thread: int | None
    gil: int
    gil_is_pointer: bool
    collecting: int
    collecting_frame: int | None
    gil_holder: int = GIL_HOLDER
    gil_locked: int = GIL_LOCKED


@dataclass(frozen=True, slots=True)
class ThreadFields:
    """PyThreadState (Include/cpython/pystate.h).

    Attributes:
        read_size: bytes that hold all of the following.
        previous, next, interpreter: pointers; the list is newest first.
        thread_id: pthread_self().
        native_thread_id: the kernel's thread id in the target's own PID namespace, from 3.11; else None, then
            `pthread_tid` is where glibc's struct pthread at `thread_id` has it.
        frame: up to 3.10 the innermost frame object, from 3.13 the innermost frame; 3.11 and 3.12 a pointer to a
            _PyCFrame, which points to it at `frame_in_cframe` (else None).
        base_frame: pointer to the frame at the root of every chain, from 3.15: a chain that ends elsewhere is torn.
        datastack_chunk, datastack_top, datastack_limit: from 3.11, pointers; else None. All 0 before the first frame.
        active: Flag `_status.active`, from 3.12: bound to the running thread, maybe without the GIL.
        holds_gil: from 3.13. The interpreter's lock is the truth, this says it beside the frame in one read.
        attached: `state`, 4 bytes, 1 while the thread may touch objects, from 3.13; else None.
        gil_requested: 4 bytes, 1 while it waits for the GIL; from 3.15, else None.
        exception: the exception being raised (up to 3.11 its type), 0 for none.
    """

    read_size: int
    previous: int
    next: int
    interpreter: int
    thread_id: int
    native_thread_id: int | None
    pthread_tid: int | None
    frame: int
    frame_in_cframe: int | None
    base_frame: int | None
    datastack_chunk: int | None
    datastack_top: int | None
    datastack_limit: int | None
    active: Flag | None
    holds_gil: Flag | None
    attached: int | None
    gil_requested: int | None
    exception: int


@dataclass(frozen=True, slots=True)
class ChunkFields:
    """_PyStackChunk (Include/cpython/pystate.h), the same from 3.11 to 3.15.

    Attributes:
        previous: the chunk below, 0 in the first.
        size: in bytes, with this head; `address + size` is the thread state's datastack_limit in the newest chunk.
        top: in words from `data`, of every chunk but the newest, whose top is the thread state's datastack_top.
        data: the first frame; in the first chunk one word further.
    """

    previous: int = 0
    size: int = 8
    top: int = 16
    data: int = 24


@dataclass(frozen=True, slots=True)
class FrameFields:
    """A frame: PyFrameObject (3.9, 3.10), from 3.11 _PyInterpreterFrame (pycore_frame.h, pycore_interpframe_structs.h).

    The instruction is the one that f_lineno stands for, of a caller and of the innermost frame alike: CPython finds
    the line by this very number (PyFrame_GetLineNumber, PyCode_Addr2Line). 3.9: f_lasti, in bytes; 3.10: f_lasti, in
    code units of 2 bytes; both -1 before the first. 3.11, 3.12: prev_instr, the unit before the next instruction,
    which may be an inline cache of the one that runs and then has its line; one unit before the code at the start.
    3.13 on: instr_ptr, the instruction that runs, in a caller its call; in a suspended generator the one that resumes.

    Attributes:
        read_size: bytes that hold all but locals and stack.
        code: pointer to the code object, with `tag_bits` to be masked (stack references, from 3.14). From 3.13 it is
            None in frames that are to be left out.
        previous: the caller's frame, 0 at the root.
        instruction: a pointer into the code from 3.11; before that an int of 4 bytes, times `instruction_unit`.
        owner: 1 byte, from 3.11; 0 the thread's stack, 1 a generator, 2 a frame object.
        executing: 1 byte, 3.9 and 3.10 (f_executing, f_state), else None: `executing_mark` while the frame is executed,
            something else where it is a generator's that is suspended.
        hidden_owner: this owner and all above are no Python frames (C stack in 3.12 and 3.13, from 3.14 the
            interpreter, then the C stack); None: there are none such.
        owners: how many owners there are: a frame with this one or one above is none.
        globals: pointer, never 0 in a frame of Python.
        generator: pointer to the frame's generator, 3.9 and 3.10; else None, it lies around the frame.
        localsplus: the first local; here the frame's fixed part ends.
    """

    read_size: int
    code: int
    tag_bits: int
    previous: int
    instruction: int
    instruction_is_pointer: bool
    instruction_unit: int
    owner: int | None
    executing: int | None
    executing_mark: int
    hidden_owner: int | None
    owners: int
    globals: int
    generator: int | None
    localsplus: int


@dataclass(frozen=True, slots=True)
class GeneratorFields:
    """PyGenObject, coroutines and asynchronous generators alike (genobject.h, from 3.14 pycore_interpframe_structs.h).

    Attributes:
        frame: gi_frame, a pointer, up to 3.10; from 3.11 gi_iframe, the frame itself.
        frame_is_embedded: which of the two.
        state: gi_frame_state, a signed byte, from 3.11; else None.
        executing: its value while the frame runs; those above say that there is no frame any more.
    """

    frame: int
    frame_is_embedded: bool
    state: int | None
    executing: int


@dataclass(frozen=True, slots=True)
class CodeFields:
    """PyCodeObject (Include/cpython/code.h).

    Attributes:
        read_size: bytes that hold all of the following, from the object's beginning.
        first_line: 4 bytes.
        filename, name, qualname: pointers to str; qualname from 3.11, else None.
        line_table: pointer to bytes: co_lnotab in 3.9, co_linetable from 3.10.
        code: up to 3.10 a pointer to bytes, co_code; from 3.11 where the code itself begins, co_code_adaptive.
        code_is_embedded: which of the two.
        units: ob_size, the number of code units of 2 bytes, from 3.11; else None.
        first_traceable: 4 bytes, the first unit that counts: a frame before it has not begun, and CPython shows it to
            nobody (_PyFrame_IsIncomplete); from 3.11, else None.
        stack_size, locals_size: 4 bytes each; words of the stack, of the locals with cells and free variables
            (co_nlocals alone up to 3.10).
        frame_size: co_framesize, 4 bytes, words of a whole frame, from 3.12. In 3.11 that is localsplus / 8 +
            locals_size + stack_size; None up to there.
        fingerprint: (offset, length) of what tells it from another one that lies there later, 64 bytes at most. Up to
            3.11 they are sizes and the addresses of what it refers to: a function of the same name, file, first line
            and sizes, which got all the memory of its predecessor, is taken for it (exec of a text with other blank
            lines, over and over). Who must know reads such a code object again.
        serial: co_version, 4 bytes, within the fingerprint: no two code objects of an interpreter have the same, but
            for those after the first 4,294,967,295, which have 0. From 3.12, else None.
    """

    read_size: int
    first_line: int
    filename: int
    name: int
    qualname: int | None
    line_table: int
    code: int
    code_is_embedded: bool
    units: int | None
    first_traceable: int | None
    stack_size: int
    locals_size: int
    frame_size: int | None
    fingerprint: tuple[tuple[int, int], ...]
    serial: int | None


@dataclass(frozen=True, slots=True)
class ObjectFields:
    """Objects and types (Include/object.h, cpython/unicodeobject.h, bytesobject.h, tupleobject.h).

    Attributes:
        type, size: of an object, and of one of variable size.
        type_name, type_flags: of a type: char*, and 8 bytes, of which bit 28 says str, 27 bytes, 26 tuple.
        text_length, text_state: of a str: 8 bytes; 4 bytes: kind in bits 2 to 4, compact bit 5, ascii bit 6.
        ascii_size, compact_size: where the characters of a compact str begin, by its bit ascii.
        text_data: pointer to the characters of a str that is not compact.
        wide_text, wide_length: pointer to wchar_t, and their number, of a str of kind 0, up to 3.11; else None.
        bytes_data, tuple_items: where they begin.
    """

    ascii_size: int
    compact_size: int
    text_data: int
    wide_text: int | None
    wide_length: int | None
    tuple_items: int
    type: int = 8
    size: int = 16
    type_name: int = 24
    type_flags: int = 168
    text_length: int = 16
    text_state: int = 32
    bytes_data: int = 32
