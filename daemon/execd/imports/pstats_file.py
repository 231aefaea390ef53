"""A file of statistics for `pstats`, as cProfile, profile and pstats dump them.

    {(file, line, name): (primitive calls, calls, self time, total time, callers)}
    callers: {(file, line, name): (calls, primitive calls, self time, total time)}, of profile a number of calls each

Times are seconds. It is no call tree, and none can be made of it: who called a caller is not told, and the total time
of a recursive function is not a sum of others. So it is kept as summed already, see SUMMED in `collector.py`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.imports.allowance import freely
from execd.imports.marshal_reader import read_marshal
from execd.imports.pickle_reader import MAX_TEXT, Pairs
from execd.model.collector import CALLS
from execd.model.fold import Figures, FunctionRow
from execd.model.summed import of_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from execd.model.fold import FunctionKey
    from execd.model.profile import Header, Profile

# Functions and callers of them, in all: a program of 100,000 functions has some 500,000.
MAX_ROWS = 1_000_000
# A key and four figures, and the tuple of each, are nine.
_VALUES_A_ROW = 10
_MAX_LINE = 1 << 31
_MAX_COUNT = 1 << 62
# Whole nanoseconds of it fit into 64 bits.
_MAX_SECONDS = 9e9
_NS = 1_000_000_000
_WITHOUT_TIMES = "its callers have no times: it was written by profile, and not by cProfile"


def read(data: bytes, spend: Callable[[int], None] = freely) -> dict[FunctionKey, FunctionRow]:
    """Return the functions that a file holds, in its order; where callers have no times these are 0.

    Args:
        data: the file.
        spend: is told of steps before they are made, and may raise.

    Raises:
        UsageError: it is no such file, or is over the limits.
    """
    try:
        value = read_marshal(data, MAX_ROWS * _VALUES_A_ROW, spend)
        rows = _rows(value, spend)
    except ValueError as error:
        raise UsageError(
            f"this is no file of pstats: {str(error)[:200]}",
            remedy="write one: cProfile.Profile.dump_stats(FILE), or python -m cProfile -o FILE",
        ) from None
    return rows


def profile_of(rows: Mapping[FunctionKey, FunctionRow], header: Header) -> Profile:
    """Return a file's functions as a profile of calls that are summed already.

    Args:
        rows: as read.
        header: where they come from; its collector is replaced.
    """
    parts = [part for row in rows.values() for part in row.callers.values()]
    has_times = any(part.self_ns or part.total_ns for part in parts)
    caveats = (*header.caveats, _WITHOUT_TIMES) if parts and not has_times else header.caveats
    return of_rows(rows, replace(header, collector=CALLS.name, caveats=caveats))


def _rows(value: object, spend: Callable[[int], None]) -> dict[FunctionKey, FunctionRow]:
    if not isinstance(value, Pairs):
        raise ValueError("it is no dictionary")  # noqa: TRY004 - the file's value is wrong, not a type of ours
    if not value.items:
        raise ValueError("it has no functions")
    rows: dict[FunctionKey, FunctionRow] = {}
    # A file may have one dictionary of callers for all of its functions.
    room = MAX_ROWS - len(value.items)
    for key, row in value.items:
        match row:
            case (primitive_calls, calls, self_s, total_s, Pairs() as callers) if len(callers.items) <= room:
                room -= len(callers.items)
                spend(_VALUES_A_ROW * (1 + len(callers.items)))
                figures = _figures(calls, primitive_calls, self_s, total_s)
                rows[_function(key)] = FunctionRow(
                    figures, {_function(one): _part(part) for one, part in callers.items}
                )
            case _:
                raise ValueError(f"a function is not four figures and its callers, or there are over {MAX_ROWS}")
    return rows


def _part(value: object) -> Figures:
    match value:
        case (calls, primitive_calls, self_s, total_s):
            return _figures(calls, primitive_calls, self_s, total_s)
        case int():
            return _figures(value, value, 0, 0)
    raise ValueError("a caller is not four figures, or one number")


def _function(value: object) -> FunctionKey:
    match value:
        case (str(file), int(line), str(name)) if 0 <= line < _MAX_LINE and max(len(file), len(name)) <= MAX_TEXT:
            return file, line, name
    raise ValueError("a function is not a file, a line and a name")


def _figures(calls: object, primitive_calls: object, self_s: object, total_s: object) -> Figures:
    return Figures(_count(calls), _count(primitive_calls), 0, _ns(self_s), _ns(total_s))


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < _MAX_COUNT:
        raise ValueError("a count is no number, or out of range")
    return value


def _ns(value: object) -> int:
    # Less than nothing is possible: profile takes off what its own calls cost, and may take too much.
    if not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > _MAX_SECONDS:
        raise ValueError("a time is no number, or out of range")
    return round(value * _NS)
