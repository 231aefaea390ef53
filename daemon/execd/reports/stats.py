"""The export for pstats: a marshalled dictionary, as cProfile writes it."""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING, TypeAlias

from execd.errors import UsageError
from execd.reports.text import shown_rows

if TYPE_CHECKING:
    from execd.model.fold import Figures, FunctionKey
    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions

# Calls, primitive calls, self time, total time: of a function when called by one other, seconds.
Caller: TypeAlias = tuple[int, int, float, float]
# Of a function: primitive calls, calls, self time, total time, callers.
Row: TypeAlias = "tuple[int, int, float, float, dict[FunctionKey, Caller]]"
# The newest that every supported Python reads.
_MARSHAL_VERSION = 4


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return a file that `pstats.Stats` loads; raises as `statistics` does."""
    return marshal.dumps(statistics(profile, options), _MARSHAL_VERSION)


def statistics(profile: Profile, options: ReportOptions) -> dict[FunctionKey, Row]:
    """Return what such a file holds; names are made safe, since pstats prints them as they are.

    Raises:
        UsageError: nothing was recorded; pstats refuses an empty file.
    """
    rows = shown_rows(profile, options, with_callers=True)
    if not rows:
        raise UsageError(
            "nothing was recorded, and pstats loads no empty file", remedy="record until a function has run"
        )
    return {
        function: (
            row.figures.primitive_calls,
            row.figures.calls,
            row.figures.self_ns / 1e9,
            row.figures.total_ns / 1e9,
            {caller: _caller(part) for caller, part in row.callers.items()},
        )
        for function, row in rows.items()
    }


def _caller(part: Figures) -> Caller:
    # Calls before primitive calls: the other way round than in a function's own tuple.
    return part.calls, part.primitive_calls, part.self_ns / 1e9, part.total_ns / 1e9
