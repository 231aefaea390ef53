"""Programs of classic BPF, as seccomp runs them, evaluated for a system call of which not everything is known.

Three-valued: a value is a number or unknown (None). Where an unknown value decides a jump both ways are taken, so that
the outcome is the set of all that the program may return (include/uapi/linux/filter.h, bpf_common.h, seccomp.h).
"""

from __future__ import annotations

import struct
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

INSTRUCTION = struct.Struct("<HBBI")
_WORD = 0xFFFF_FFFF
_SCRATCH_WORDS = 16
_DATA_SIZE = 64
# A filter has at most 4096 instructions. One that branches more often on what is not known is not followed.
_BRANCHES_LIMIT = 2_000

_LOAD, _LOAD_INDEX, _STORE, _STORE_INDEX, _ALU, _JUMP, _RETURN, _MOVE = range(8)
_IMMEDIATE, _ABSOLUTE, _SCRATCH, _LENGTH = 0x00, 0x20, 0x60, 0x80
_BY_INDEX, _RETURN_ACCUMULATOR, _MOVE_TO_ACCUMULATOR, _NEGATE = 0x08, 0x10, 0x80, 0x80
_OPERATIONS: Mapping[int, Callable[[int, int], int]] = MappingProxyType(
    {
        0x00: lambda a, b: a + b,
        0x10: lambda a, b: a - b,
        0x20: lambda a, b: a * b,
        0x30: lambda a, b: a // b,
        0x40: lambda a, b: a | b,
        0x50: lambda a, b: a & b,
        0x60: lambda a, b: a << (b & 31),
        0x70: lambda a, b: a >> (b & 31),
        0xA0: lambda a, b: a ^ b,
    }
)
_DIVIDE = 0x30
# A division by X where that is 0 ends a program like this one (bpf_convert_filter), which stands behind the last.
_NOTHING_RETURNED = (_RETURN, 0, 0, 0)
_DIVIDED_BY_ZERO = -1
_ALWAYS, _EQUAL = 0x00, 0x10
_CONDITIONS: Mapping[int, Callable[[int, int], bool]] = MappingProxyType(
    {
        _EQUAL: lambda a, b: a == b,
        0x20: lambda a, b: a > b,
        0x30: lambda a, b: a >= b,
        0x40: lambda a, b: bool(a & b),
    }
)


class NotAFilter(Exception):
    """An instruction that the kernel lets no filter have, or more ways through it than are followed."""


class State(NamedTuple):
    """What a program has at an instruction: its two registers (A, and X as `pointer`), and its scratch words."""

    place: int = 0
    accumulator: int | None = 0
    pointer: int | None = 0
    scratch: tuple[int | None, ...] = (None,) * _SCRATCH_WORDS


def outcomes(program: bytes, data: Mapping[int, int]) -> set[int | None]:
    """Return all that a program may return, None among it where that may be any number.

    Args:
        program: an array of struct sock_filter.
        data: the known words of struct seccomp_data, by their offset.

    Raises:
        NotAFilter: what it does is not known.
    """
    instructions = [*INSTRUCTION.iter_unpack(program), _NOTHING_RETURNED]
    results: set[int | None] = set()
    todo, seen = [State()], {State()}
    while todo:
        state = todo.pop()
        while (code := _at(instructions, state.place)[0]) & 7 != _RETURN:
            following = _next(state, instructions[state.place], data)
            state = following[0]
            for other in following[1:]:
                if other not in seen:
                    seen.add(other)
                    todo.append(other)
        if len(seen) > _BRANCHES_LIMIT:
            raise NotAFilter
        results.add(state.accumulator if code & _RETURN_ACCUMULATOR else instructions[state.place][3])
    return results


def _at(instructions: list[tuple[int, ...]], place: int) -> tuple[int, ...]:
    # Jumps lead forward only, so that every way through a program comes to a return, or here.
    if place >= len(instructions) - 1:
        raise NotAFilter
    return instructions[place]


def _next(state: State, instruction: tuple[int, ...], data: Mapping[int, int]) -> tuple[State, ...]:
    """Return the state after an instruction: two of them where an unknown value decides a jump, or divides."""
    code, if_true, if_false, operand = instruction
    kind = code & 7
    if kind == _JUMP:
        return _jump(state, code, operand, if_true, if_false)
    if kind == _ALU and code & 0xF0 == _DIVIDE and not (divisor := state.pointer if code & _BY_INDEX else operand):
        ended = state._replace(place=_DIVIDED_BY_ZERO)
        return (ended,) if divisor == 0 else (ended, state._replace(place=state.place + 1, accumulator=None))
    place, accumulator, index, scratch = state.place + 1, state.accumulator, state.pointer, state.scratch
    if kind == _LOAD:
        accumulator = _loaded(state, code & 0xE0, operand, data)
    elif kind == _LOAD_INDEX:
        index = _loaded(state, code & 0xE0, operand, data)
    elif kind in (_STORE, _STORE_INDEX):
        value = accumulator if kind == _STORE else index
        scratch = (*scratch[:operand], value, *scratch[operand + 1 :])
    elif kind == _ALU:
        accumulator = _computed(code & 0xF0, accumulator, index if code & _BY_INDEX else operand)
    elif code & _MOVE_TO_ACCUMULATOR:
        accumulator = index
    else:
        index = accumulator
    return (State(place, accumulator, index, scratch),)


def _loaded(state: State, mode: int, operand: int, data: Mapping[int, int]) -> int | None:
    if mode == _ABSOLUTE:
        return data.get(operand)
    if mode == _IMMEDIATE:
        return operand
    if mode == _SCRATCH:
        return state.scratch[operand % _SCRATCH_WORDS]
    if mode == _LENGTH:
        return _DATA_SIZE
    raise NotAFilter


def _computed(operation: int, left: int | None, right: int | None) -> int | None:
    if left is None or (right is None and operation != _NEGATE):
        return None
    if operation == _NEGATE:
        return -left & _WORD
    if operation not in _OPERATIONS or right is None:
        raise NotAFilter
    return _OPERATIONS[operation](left, right) & _WORD


def _jump(state: State, code: int, operand: int, if_true: int, if_false: int) -> tuple[State, ...]:
    kind, place = code & 0xF0, state.place + 1
    if kind == _ALWAYS:
        return (state._replace(place=place + operand),)
    if kind not in _CONDITIONS:
        raise NotAFilter
    left, right = state.accumulator, state.pointer if code & _BY_INDEX else operand
    if left is not None and right is not None:
        step = if_true if _CONDITIONS[kind](left, right) else if_false
        return (State(place + step, left, state.pointer, state.scratch),)
    # Where an equality holds, the unknown value is known from there on.
    known = right if kind == _EQUAL and right is not None else left
    return state._replace(place=place + if_true, accumulator=known), state._replace(place=place + if_false)
