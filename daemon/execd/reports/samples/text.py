"""The text report of samples: a line a function, what it has itself and what with all that it called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.model.samples import Amount, by_function, measures
from execd.reports.escape import visible
from execd.reports.options import View
from execd.reports.samples.names import SHOWN, sample_name
from execd.reports.selection import limited
from execd.reports.text import origin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execd.model.fold import FunctionKey
    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions

_DEFAULT_LIMIT = "40"
_NONE = Amount(0, 0)
# What a table is ordered by, by sort keys of pstats that mean something here.
_TOTAL, _OWN = ("cumulative", "cumtime"), ("time", "tottime")


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the report as UTF-8 text. Raises UsageError where an option does not fit."""
    refuse_others(options)
    found = {measure: by_function(profile, measure) for measure in measures(profile)}
    first = next(iter(found))
    functions = ordered(found[first], options)
    shown = limited(functions, sample_name, options.limits or (_DEFAULT_LIMIT,))
    lines = [*origin(profile.header), ""]
    whole = {measure: sum(one.own for one in rows.values()) for measure, rows in found.items()}
    lines += [f"         {_figure(measure, total).strip()} {SHOWN[measure][0]}" for measure, total in whole.items()]
    lines += ["", "".join(f"{'self':>12}{'total':>12}" for _ in found) + "   total%  function"]
    for function in shown:
        cells = [rows.get(function, _NONE) for rows in found.values()]
        figures = "".join(
            _figure(measure, one.own) + _figure(measure, one.total) for measure, one in zip(found, cells, strict=True)
        )
        share = cells[0].total / whole[first] if whole[first] else 0.0
        lines.append(f"{figures}{share:>9.1%}  {visible(sample_name(function))}")
    other = len(functions) - len(shown)
    lines += [f"{other} functions more: --limit shows them"] if other else []
    return "\n".join([*lines, ""]).encode()


def ordered(rows: Mapping[FunctionKey, Amount], options: ReportOptions) -> list[FunctionKey]:
    """Return functions in the order that the options ask for: by total without any.

    Raises:
        UsageError: by what samples do not have.
    """
    key = options.sort[0] if options.sort else _TOTAL[0]
    if len(options.sort) > 1 or key not in (*_TOTAL, *_OWN, "name"):
        raise UsageError(
            f"samples are not sorted by {','.join(options.sort)!r}", remedy="choose one of: cumulative, time, name"
        )
    if key == "name":
        functions = sorted(rows, key=lambda one: (one[2], one))
    else:
        functions = sorted(rows, key=lambda one: (-(rows[one].total if key in _TOTAL else rows[one].own), one))
    return functions[::-1] if options.reverse else functions


def refuse_others(options: ReportOptions) -> None:
    """Refuse tables that samples do not have. Raises UsageError."""
    given = {options.view.value: options.view is not View.FUNCTIONS, "per-thread": options.per_thread}
    refused = [name for name, value in given.items() if value]
    if refused:
        raise UsageError(f"{', '.join(refused)} does not fit profiles of samples", remedy="leave it out")


def _figure(measure: str, value: int) -> str:
    unit = SHOWN[measure][1]
    return f"{value:>12}" if unit == 1 else f"{value / unit:>12.3f}"
