"""Line tables of every version: each instruction of many modules has the line that its own interpreter gives it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from execd.sampling.line_tables import LineTable, line_ranges
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from interpreters import Interpreter

UNIT = 2
CODES = 500
# Of so many instructions one is looked up, all are compared.
EACH = 20
VERSIONS = [(3, 9), (3, 10), (3, 11), (3, 15)]


def test_every_instruction_has_the_line_that_its_interpreter_gives(drivers: Drivers, interpreter: Interpreter) -> None:
    major, minor = interpreter.version.split(".")
    tables = drivers.run(interpreter, "lining", "tables")
    assert len(tables) > CODES
    lineless = 0
    for table, first_line, length, ranges in tables:
        lines = LineTable.of((int(major), int(minor)), base64.b64decode(table), first_line)
        wanted = [line for start, end, line in ranges for _ in range(start, end, UNIT)]
        found_ranges = zip(lines.starts, lines.ends, lines.lines, strict=True)
        assert [line for start, end, line in found_ranges for _ in range(start, min(end, length), UNIT)] == wanted
        assert [lines.line(offset) for offset in range(0, length, EACH * UNIT)] == wanted[::EACH]
        lineless += None in wanted
    assert bool(lineless) == (interpreter.version != "3.9")


@pytest.mark.parametrize("version", VERSIONS)
def test_before_the_first_instruction_stands_the_first_line(version: tuple[int, int]) -> None:
    assert LineTable.of(version, b"", 7).line(-2) == 7


def test_after_the_last_instruction_there_is_no_line() -> None:
    lines = LineTable.of((3, 11), bytes([0x80 | 13 << 3 | 1, 0]), 7)
    assert [lines.line(offset) for offset in (0, 2, 4, 1 << 40)] == [7, 7, None, None]


def test_an_instruction_without_a_line_has_none() -> None:
    assert LineTable.of((3, 10), bytes([2, 1, 2, 128, 2, 1]), 7).lines == (8, None, 9)
    assert LineTable.of((3, 12), bytes([0x80 | 15 << 3, 0x80 | 11 << 3, 0, 0]), 7).lines == (None, 8)


@pytest.mark.parametrize("version", VERSIONS)
@given(table=st.binary(max_size=400), first_line=st.integers(0, 2**31 - 1))
def test_garbage_gives_lines_or_none(version: tuple[int, int], table: bytes, first_line: int) -> None:
    ranges = list(line_ranges(version, table, first_line))
    assert len(ranges) <= len(table) + 1
    assert all(start < end for start, end, _ in ranges)
    assert [start for start, _, _ in ranges[1:]] == [end for _, end, _ in ranges[:-1]]
    assert all(line is None or 0 <= line < 1 << 31 for _, _, line in ranges)
    lines = LineTable.of(version, table, first_line)
    assert {lines.line(offset) for offset in (-1, 0, 1, 1 << 31, 1 << 63)} <= {None, first_line, *lines.lines}
