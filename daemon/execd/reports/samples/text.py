"""The text report of samples: a line a function, what it has itself and what with all that it called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.model.samples import Amount, by_function, measures
from execd.reports.escape import visible
from execd.reports.figures import number_of, part, percent, time_text, unit_of
from execd.reports.function_names import c_name
from execd.reports.header import header_lines, summary_lines
from execd.reports.layout import CYAN, DIM
from execd.reports.options import View
from execd.reports.samples.names import CLOCKS, sample_name
from execd.reports.selection import ROWS_SHOWN, limited, top
from execd.reports.tables import Column, Kind, Row, table_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from execd.model.fold import FunctionKey
    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions

_NONE = Amount(0, 0)
# What a table is ordered by, by sort keys of pstats that mean something here.
_TOTAL, _OWN = ("cumulative", "cumtime"), ("time", "tottime")


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the report as UTF-8 text. Raises UsageError where an option does not fit."""
    refuse_others(options)
    found = {measure: by_function(profile, measure) for measure in measures(profile)}
    whole = {measure: sum(one.own for one in rows.values()) for measure, rows in found.items()}
    first, *_ = found
    functions = limited(ordered(found[first], options, _OWN[0]), sample_name, options.limits)
    shown, rest = top(functions, options, ROWS_SHOWN)
    lines = header_lines(profile.header, options.layout)
    sums = ", ".join(_sum(measure, total) for measure, total in whole.items())
    lines += summary_lines([f"{sums} in {number_of(len(found[first]), 'function')}"], options.layout)
    lines += _table(found, shown, whole[first], options) if shown else ["   (no functions)"]
    return "\n".join([*lines, *rest, ""]).encode()


def ordered(rows: Mapping[FunctionKey, Amount], options: ReportOptions, usual: str = _TOTAL[0]) -> list[FunctionKey]:
    """Return functions in the order that the options ask for, without any by a usual key.

    Raises:
        UsageError: by what samples do not have.
    """
    key = options.sort[0] if options.sort else usual
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


def _table(
    found: Mapping[str, Mapping[FunctionKey, Amount]], shown: Sequence[FunctionKey], whole: int, options: ReportOptions
) -> list[str]:
    """Return the table: the share of the first measure, then what there is of each."""
    own = not options.sort or options.sort[0] not in _TOTAL
    first, *_ = found.values()
    shares = [part(first[one].own if own else first[one].total, whole) for one in shown]
    columns = [Column("%"), Column("", Kind.WORD, CYAN)]
    cells = [[percent(share) for share in shares], [options.layout.bar(share) for share in shares]]
    for measure, rows in found.items():
        titles, figures = _figures(measure, [rows.get(one, _NONE) for one in shown])
        columns += map(Column, titles)
        cells += figures
    columns += [Column("function", Kind.NAME), Column("where", Kind.PLACE, DIM)]
    cells += [[visible(c_name(name)) for _, _, name in shown], [_place(one) for one in shown]]
    return table_lines(columns, [Row(row) for row in zip(*cells, strict=True)], options.layout)


def _figures(measure: str, amounts: Sequence[Amount]) -> tuple[list[str], list[list[str]]]:
    """Return the titles of the columns of a measure, and their cells."""
    if measure not in CLOCKS:
        return ["self", "total"], [[f"{one.own:,}" for one in amounts], [f"{one.total:,}" for one in amounts]]
    unit = unit_of(one.total for one in amounts)
    titles = [f"{what} {CLOCKS[measure]} {unit.name}" for what in ("self", "total")]
    return titles, [[unit.text(one.own) for one in amounts], [unit.text(one.total) for one in amounts]]


def _sum(measure: str, total: int) -> str:
    return f"{time_text(total)} {CLOCKS[measure]}" if measure in CLOCKS else f"{total:,} {measure}"


def _place(function: FunctionKey) -> str:
    file, line, _ = function
    return visible(f"{file}:{line}" if line else file)
