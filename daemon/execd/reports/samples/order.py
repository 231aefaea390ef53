"""The order of a table of samples, and which of its rows are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from execd.errors import UsageError
from execd.reports.samples.names import sample_name
from execd.reports.selection import limited

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execd.model.fold import FunctionKey
    from execd.model.samples import Amount
    from execd.reports.options import ReportOptions

# What a table is ordered by, by sort keys of pstats that mean something here.
TOTAL: Final = ("cumulative", "cumtime")
OWN: Final = ("time", "tottime")


def chosen(rows: Mapping[FunctionKey, Amount], options: ReportOptions, usual: str) -> list[FunctionKey]:
    """Return the places that the options ask for, in their order.

    Args:
        rows: what each place has of what the table is ordered by.
        options: its sort, reverse and limits are used.
        usual: the key of the order where none is asked for.

    Raises:
        UsageError: by what samples do not have, or a limit does not parse.
    """
    key = sort_key(options, usual)
    if key == "name":
        places = sorted(rows, key=lambda one: (one[2], one))
    else:
        places = sorted(rows, key=lambda one: (-(rows[one].total if key in TOTAL else rows[one].own), one))
    return limited(places[::-1] if options.reverse else places, sample_name, options.limits)


def sort_key(options: ReportOptions, usual: str) -> str:
    """Return what a table is ordered by, without any asked for by a usual key.

    Raises:
        UsageError: samples do not have it.
    """
    key = options.sort[0] if options.sort else usual
    if len(options.sort) > 1 or key not in (*TOTAL, *OWN, "name"):
        raise UsageError(
            f"samples are not sorted by {','.join(options.sort)!r}", remedy="choose one of: cumulative, time, name"
        )
    return key
