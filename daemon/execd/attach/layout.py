"""Where things lie in CPython's internal structs, by version: the one table of the attach.

3.9 to 3.12: offsets computed with offsetof() on the internal headers of 3.9.18, 3.10.13, 3.11.7 and 3.12.1, x86_64.
3.13 and newer: read from the target's own `_Py_DebugOffsets` (Include/internal/pycore_debug_offsets.h, in 3.13
pycore_runtime.h); what that lacks is given relative to what it has, from the headers of 3.13.0, 3.14.8 and 3.15.0.
A layout is used only after `interpreter.check` found it to fit.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from execd.errors import NotSupported

# signals_pending of _PyRuntime (pycore_runtime.h); from 3.13 a bit of the main thread's eval_breaker says the same.
SIGNALS_PENDING = {(3, 9): 344, (3, 10): 344, (3, 11): 352, (3, 12): 2008}
SIGNALS_PENDING_BIT = 1 << 1
SUPPORTED = ((3, 9), (3, 10), (3, 11), (3, 12), (3, 13), (3, 14), (3, 15))


@dataclass(frozen=True, slots=True)
class PendingCalls:
    """struct _pending_calls of an interpreter (pycore_interp.h), offsets from the interpreter state.

    Attributes:
        lock: a PyThread_type_lock up to 3.12, a PyMutex from 3.13.
        lock_is_mutex: which of the two.
        idle_word: a word that is 0 while nobody works the ring off (3.12 `busy`, 3.13 `handling_thread`), or None.
        count: calls_to_do up to 3.12 (a flag), npending from 3.13 (a count).
        count_is_flag: which of the two.
        calls: the first slot.
        slot_size: bytes a slot: function, argument, from 3.13 flags.
        slots: their number.
        first, last: indexes of the oldest slot and of the next free one.
    """

    lock: int
    lock_is_mutex: bool
    idle_word: int | None
    count: int
    count_is_flag: bool
    calls: int
    slot_size: int
    slots: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class DebuggerSupport:
    """The PEP 768 fields of a thread state, offsets from it, and the interpreter's switch for them."""

    pending_call: int
    script_path: int
    script_path_size: int
    enabled_in_interpreter: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Offsets in bytes.

    Attributes:
        version: (3, 11).
        finalizing, main_interpreter: from _PyRuntime; the head of the list of interpreters lies before the latter.
        threads_head: from the interpreter state.
        next_thread, interpreter, thread_id: from a thread state.
        recursion_left: from a thread state, int: calls left; None where `recursion_depth` counts up.
        recursion_depth, recursion_limit: from thread and interpreter state, up to 3.10.
        gil: from _PyRuntime up to 3.11; from 3.12 the interpreter's pointer to it.
        gil_is_pointer: which of the two.
        current_thread: from _PyRuntime, the thread state that holds the GIL, up to 3.11; else None.
        eval_breaker: from the interpreter up to 3.12, from a thread state from 3.13.
        eval_breaker_is_per_thread: which of the two.
        pending: the pending-call ring; None: not used on this version.
        debugger: the PEP 768 fields, from 3.14.
        next_interpreter: from an interpreter state.
        status: from a thread state, its bits from 3.12; None before.
    """

    version: tuple[int, int]
    finalizing: int
    main_interpreter: int
    threads_head: int
    next_thread: int
    interpreter: int
    thread_id: int
    recursion_left: int | None
    recursion_depth: int
    recursion_limit: int
    gil: int
    gil_is_pointer: bool
    current_thread: int | None
    eval_breaker: int
    eval_breaker_is_per_thread: bool
    pending: PendingCalls | None
    debugger: DebuggerSupport | None
    next_interpreter: int
    status: int | None


# struct _gil_runtime_state (pycore_gil.h): interval, last_holder, locked, switch_number, then conditions and mutexes.
GIL_HOLDER = 8
GIL_LOCKED = 16
GIL_SIZE = 208

# bound_gilstate, the fourth bit of a thread state's status (pystate.h, 3.12+).
BOUND_GILSTATE_BIT = 1 << 3
# Bits of a 3.13+ eval_breaker (pycore_ceval.h).
CALLS_TO_DO_BIT = 1 << 2
PLEASE_STOP_BIT = 1 << 5

DEBUG_OFFSETS_SIZE = 8 * 120
_COOKIE = b"xdebugpy"
_FREE_THREADED_WORD = 2
_FINALIZING_WORD = 4
_HEAD_WORD = 5
_NEXT_INTERPRETER_WORD = 8
# Word numbers in _Py_DebugOffsets of threads_head, ceval_gil, and in the thread state: next, interp, thread_id.
_WORDS = {
    (3, 13): (9, 14, 21, 22, 24),
    (3, 14): (9, 15, 24, 25, 27),
    (3, 15): (9, 15, 24, 25, 30),
}
_DEBUGGER_SUPPORT_WORD = {(3, 14): 89, (3, 15): 105}
_RECURSION_LEFT = {(3, 13): 44, (3, 14): 48, (3, 15): 52}
_SCRIPT_PATH_SIZE = 512


def _ring(base: int, idle_word: int | None) -> PendingCalls:
    """Return the ring of 3.9 to 3.12, whose lock lies at `base`."""
    return PendingCalls(
        base,
        False,
        idle_word,
        base + 8,
        True,
        base + 16,
        16,
        32,
        base + 528,
        base + 532,
    )


_TABLE = {
    (3, 9): Layout(
        (3, 9), 16, 40, 8, 8, 16, 176, None, 32, 64, 352, False, 568, 72, False, _ring(80, None), None, 0, None
    ),
    (3, 10): Layout(
        (3, 10), 16, 40, 8, 8, 16, 176, None, 32, 64, 352, False, 568, 68, False, _ring(80, None), None, 0, None
    ),
    (3, 11): Layout(
        (3, 11), 24, 48, 16, 8, 16, 152, 32, 0, 0, 360, False, 576, 100, False, _ring(112, None), None, 0, None
    ),
    (3, 12): Layout(
        (3, 12), 24, 48, 72, 8, 16, 136, 28, 0, 0, 384, True, None, 368, False, _ring(408, 400), None, 0, 24
    ),
}


def layout_for(version: tuple[int, int], runtime_start: bytes) -> Layout:
    """Return the layout of a version.

    Args:
        version: major and minor, as found by symbols; for 3.13 and newer it must agree with the debug offsets.
        runtime_start: the first DEBUG_OFFSETS_SIZE bytes of _PyRuntime.

    Raises:
        NotSupported: no layout is known for it, or it is a free-threaded build.
    """
    if version in _TABLE:
        return _TABLE[version]
    if version not in _WORDS:
        supported = f"{SUPPORTED[0][0]}.{SUPPORTED[0][1]} to {SUPPORTED[-1][0]}.{SUPPORTED[-1][1]}"
        raise NotSupported(f"CPython {version[0]}.{version[1]} is not supported; {supported} are", version=version)
    return _from_debug_offsets(version, runtime_start)


def _from_debug_offsets(version: tuple[int, int], runtime_start: bytes) -> Layout:
    if runtime_start[:8] != _COOKIE:
        raise NotSupported(f"CPython {version[0]}.{version[1]} without _Py_DebugOffsets is not supported")
    words = struct.unpack_from(f"<{DEBUG_OFFSETS_SIZE // 8}Q", runtime_start)
    if words[_FREE_THREADED_WORD]:
        raise NotSupported("free-threaded builds of CPython are not supported", remedy="run the target with the GIL")
    threads_head, ceval_gil, next_thread, interpreter, thread_id = (words[index] for index in _WORDS[version])
    pending = PendingCalls(
        lock=ceval_gil + 24,
        lock_is_mutex=True,
        idle_word=ceval_gil + 16,
        count=ceval_gil + 28,
        count_is_flag=False,
        calls=ceval_gil + 40,
        slot_size=24,
        slots=300,
        first=ceval_gil + 7240,
        last=ceval_gil + 7244,
    )
    return Layout(
        version=version,
        finalizing=words[_FINALIZING_WORD],
        main_interpreter=words[_HEAD_WORD] + 8,
        threads_head=threads_head,
        next_thread=next_thread,
        interpreter=interpreter,
        thread_id=thread_id,
        recursion_left=_RECURSION_LEFT[version],
        recursion_depth=0,
        recursion_limit=0,
        gil=ceval_gil,
        gil_is_pointer=True,
        current_thread=None,
        eval_breaker=interpreter + 8,
        eval_breaker_is_per_thread=True,
        pending=pending,
        debugger=_debugger_support(version, words),
        next_interpreter=words[_NEXT_INTERPRETER_WORD],
        status=interpreter + 16,
    )


def _debugger_support(version: tuple[int, int], words: tuple[int, ...]) -> DebuggerSupport | None:
    index = _DEBUGGER_SUPPORT_WORD.get(version)
    if index is None:
        return None
    _, support, enabled, pending_call, script_path, size = words[index : index + 6]
    if size != _SCRIPT_PATH_SIZE:
        raise NotSupported(f"the debug offsets of this CPython {version[0]}.{version[1]} are not laid out as expected")
    return DebuggerSupport(support + pending_call, support + script_path, size, enabled)
