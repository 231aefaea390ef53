"""Lines of instructions: co_lnotab of 3.9, co_linetable of 3.10, the location table of 3.11 and newer.

Pure, and bounded against garbage: a table has at most as many ranges as bytes. The agent asks its own interpreter for
the same (co_lines); here only the bytes are there, of any version (Objects/lnotab_notes.txt, Objects/locations.md,
from 3.14 InternalDocs/code_objects.md).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # First byte offset, the one after the last, and the line; None where the instructions have none.
    Range = tuple[int, int, int | None]

_PAIRS_SINCE = (3, 10)
_LOCATIONS_SINCE = (3, 11)
_UNIT = 2
_END = 1 << 31
_LINE_LIMIT = 1 << 31
_NO_LINE_DELTA = 128
# The first byte of an entry of a location table: bit 7, a code of 4 bits, the number of units less one.
_ENTRY = 0x80
_ONE_LINE_0, _NO_COLUMNS, _LONG, _NONE = 10, 13, 14, 15
# A number of 6 bits a byte that is longer than this is none that a compiler wrote.
_SHIFT_LIMIT = 36


@dataclass(frozen=True, slots=True)
class LineTable:
    """The lines of one code object.

    Attributes:
        first_line: where its source begins; the line of a frame that has not begun.
        starts: the byte offset at which each range begins, ascending.
        ends: the one after its last.
        lines: its line, None where it has none.
    """

    first_line: int
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    lines: tuple[int | None, ...]

    @classmethod
    def of(cls, version: tuple[int, int], table: bytes, first_line: int) -> LineTable:
        """Read a table. Garbage gives lines that mean nothing, and no error."""
        ranges = list(line_ranges(version, table, first_line))
        starts, ends, lines = zip(*ranges, strict=True) if ranges else ((), (), ())
        return cls(first_line, starts, ends, lines)

    def line(self, offset: int) -> int | None:
        """Return the line of an instruction, as f_lineno has it.

        Args:
            offset: its place in bytes from the beginning of the code; below 0 before the first one.
        """
        if offset < 0:
            return self.first_line
        index = bisect_right(self.starts, offset) - 1
        if index < 0 or offset >= self.ends[index]:
            return None
        return self.lines[index]


def line_ranges(version: tuple[int, int], table: bytes, first_line: int) -> Iterator[Range]:
    """Yield the ranges of a code object's instructions by offset, none of them empty; neighbours may have one line.

    Args:
        version: of the CPython that compiled it, (3, 9) or newer.
        table: the bytes of its table.
        first_line: co_firstlineno.
    """
    read: Callable[[bytes, int], Iterator[Range]] = _locations
    if version < _LOCATIONS_SINCE:
        read = _pairs if version >= _PAIRS_SINCE else _lnotab
    for start, end, line in read(table, first_line):
        yield start, end, line if line is not None and 0 <= line < _LINE_LIMIT else None


def _lnotab(table: bytes, first_line: int) -> Iterator[Range]:
    """Read pairs of bytes and lines to go; what follows the last has the last line."""
    start, line = 0, first_line
    for length, delta in zip(table[0::2], table[1::2], strict=False):
        if length:
            yield start, start + length, line
            start += length
        line += _signed(delta)
    yield start, _END, line


def _pairs(table: bytes, first_line: int) -> Iterator[Range]:
    """Read pairs of the length of a range and the step to its line."""
    start, line = 0, first_line
    for length, delta in zip(table[0::2], table[1::2], strict=False):
        if delta != _NO_LINE_DELTA:
            line += _signed(delta)
        if length:
            yield start, start + length, None if delta == _NO_LINE_DELTA else line
            start += length


def _locations(table: bytes, first_line: int) -> Iterator[Range]:
    """Read entries of a head, which begins with bit 7, and a body of as many bytes as come without it."""
    start, line, place = 0, first_line, 0
    while place < len(table):
        head = table[place]
        code = head >> 3 & 15
        end = start + ((head & 7) + 1) * _UNIT
        if code in (_NO_COLUMNS, _LONG):
            line += _signed_varint(table, place + 1)
        elif _ONE_LINE_0 <= code < _NO_COLUMNS:
            line += code - _ONE_LINE_0
        yield start, end, None if code == _NONE else line
        start, place = end, place + 1
        while place < len(table) and not table[place] & _ENTRY:
            place += 1


def _signed_varint(table: bytes, place: int) -> int:
    """Return the number at a place: 6 bits a byte, low ones first, bit 6 where more follow; the lowest is the sign."""
    value = shift = 0
    for byte in table[place : place + _SHIFT_LIMIT // 6]:
        value |= (byte & 63) << shift
        shift += 6
        if not byte & 64:
            break
    return -(value >> 1) if value & 1 else value >> 1


def _signed(byte: int) -> int:
    return byte - 256 if byte >= _NO_LINE_DELTA else byte
