"""The export for pstats: a marshalled dictionary, as cProfile writes it."""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.reports.text import shown_rows

if TYPE_CHECKING:
    from execd.model.fold import Figures
    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions

# The newest that every supported Python reads.
_MARSHAL_VERSION = 4


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return a file that `pstats.Stats` loads; names are made safe, since it prints them as they are.

    Raises:
        UsageError: nothing was recorded; pstats refuses an empty file.
    """
    rows = shown_rows(profile, options, with_callers=True)
    if not rows:
        raise UsageError(
            "nothing was recorded, and pstats loads no empty file", remedy="record until a function has run"
        )
    stats = {
        function: (
            row.figures.primitive_calls,
            row.figures.calls,
            row.figures.self_ns / 1e9,
            row.figures.total_ns / 1e9,
            {caller: _caller(part) for caller, part in row.callers.items()},
        )
        for function, row in rows.items()
    }
    return marshal.dumps(stats, _MARSHAL_VERSION)


def _caller(part: Figures) -> tuple[int, int, float, float]:
    # Calls before primitive calls: the other way round than in a function's own tuple.
    return part.calls, part.primitive_calls, part.self_ns / 1e9, part.total_ns / 1e9
