"""Seccomp filters for fuzzing: programs that the kernel would take, and what it comes to when it runs one.

After seccomp_check_filter and bpf_convert_filter of the kernel, and nothing of execd: it is what execd is held against.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = tuple[int, int, int, int]

WORD = 0xFFFFFFFF
LONGEST = 24
# BPF_ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, XOR; NEG takes no operand.
ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, NEG, XOR = 0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0xA0
JA, JEQ, JGT, JGE, JSET = 0x00, 0x10, 0x20, 0x30, 0x40
EDGES = (0, 1, 2, 31, 1 << 31, WORD, 0x7FFF0000, 0xC000003E)
LOAD_WORD, RETURN_A = 0x20, 0x16
# Loads of constants, stores and loads of scratch words, moves and the length of the data.
CONSTANTS, SCRATCH, PLAIN = (0x00, 0x01), (0x60, 0x61, 0x02, 0x03), (0x80, 0x81, 0x07, 0x87)
ARITHMETIC = (ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, NEG, XOR)
JUMPS = tuple(0x05 | kind | source for kind in (JEQ, JGT, JGE, JSET) for source in (0, 8))
ROW = struct.Struct("<BBBBI")


def program_of(data: bytes) -> list[Row]:
    """A program out of any bytes: jumps lead forward and stay inside, the last instruction returns."""
    drawn = list(ROW.iter_unpack(data[: len(data) // ROW.size * ROW.size]))[:LONGEST]
    rows = [_row(*row, room=len(drawn) - number) for number, row in enumerate(drawn)]
    return [*rows, (RETURN_A, 0, 0, 0)]


def _row(what: int, if_true: int, if_false: int, edge: int, value: int, room: int) -> Row:
    k = EDGES[edge % len(EDGES)] if edge & 0x80 else value
    which = what // 8
    rows: tuple[Row, ...] = (
        (LOAD_WORD, 0, 0, 4 * (k % 16)),
        (CONSTANTS[which % 2], 0, 0, k),
        (SCRATCH[which % 4], 0, 0, k % 16),
        (PLAIN[which % 4], 0, 0, 0),
        _arithmetic(ARITHMETIC[which % len(ARITHMETIC)], if_true & 8, k),
        (0x06, 0, 0, k),
        (0x05, 0, 0, k % room),
        (JUMPS[which % len(JUMPS)], if_true % room, if_false % room, k),
    )
    return rows[what % len(rows)]


def _arithmetic(operation: int, source: int, k: int) -> Row:
    """The kernel takes no division by a constant 0, and no shift by 32."""
    if operation == NEG:
        return 0x04 | NEG, 0, 0, 0
    operand = {DIV: max(k, 1), LSH: k % 32, RSH: k % 32}.get(operation, k)
    return 0x04 | operation | source, 0, 0, operand


programs = st.binary(max_size=LONGEST * ROW.size).map(program_of)


def executed(program: list[Row], data: Sequence[int]) -> int:
    """What the kernel makes of a program for a system call, given as the words of struct seccomp_data."""
    a = x = place = 0
    memory = [0] * 16
    while True:
        code, if_true, if_false, k = program[place]
        place += 1
        kind, operand = code & 7, x if code & 8 else k
        if kind == 6:
            return a if code & 0x10 else k
        if kind == 5:
            place += k if code & 0xF0 == JA else (if_true if _holds(code & 0xF0, a, operand) else if_false)
        elif kind == 4:
            if code & 0xF0 == DIV and not operand:
                return 0
            a = _arithmetic_of(code & 0xF0, a, operand)
        elif kind in (2, 3):
            memory[k] = a if kind == 2 else x
        elif kind == 7:
            a, x = (x, x) if code & 0x80 else (a, a)
        else:
            loaded = {0x20: data[k // 4] if code == 0x20 else 0, 0x00: k, 0x60: memory[k % 16], 0x80: 64}[code & 0xE0]
            a, x = (loaded, x) if kind == 0 else (a, loaded)


def _holds(kind: int, a: int, operand: int) -> bool:
    return {JEQ: a == operand, JGT: a > operand, JGE: a >= operand, JSET: bool(a & operand)}[kind]


def _arithmetic_of(operation: int, a: int, b: int) -> int:
    if operation == DIV:
        return a // b
    return {
        ADD: a + b,
        SUB: a - b,
        MUL: a * b,
        OR: a | b,
        AND: a & b,
        LSH: a << (b & 31),
        RSH: a >> (b & 31),
        NEG: -a,
        XOR: a ^ b,
    }[operation] & WORD
