"""Who called each function of a profile, or whom it called: a block a function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from execd.model.fold import callees
from execd.reports.figures import count_text, part, percent, unit_of
from execd.reports.layout import BOLD, DIM
from execd.reports.options import View
from execd.reports.tables import Column, Kind, Row, table_lines
from execd.reports.times import times_unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from execd.model.fold import Figures, FunctionKey, FunctionRow
    from execd.model.profile import Header
    from execd.reports.figures import Unit
    from execd.reports.function_names import FunctionNames
    from execd.reports.options import ReportOptions

# Functions, each with a line for each that called it.
ROWS_SHOWN: Final = 20


def related(rows: Mapping[FunctionKey, FunctionRow], view: View) -> Mapping[FunctionKey, Mapping[FunctionKey, Figures]]:
    """Return for each function those at the other ends of its edges, with the figures along each."""
    return {one: row.callers for one, row in rows.items()} if view is View.CALLERS else callees(rows)


def lines(
    header: Header,
    rows: Mapping[FunctionKey, FunctionRow],
    shown: Sequence[FunctionKey],
    others: Mapping[FunctionKey, Mapping[FunctionKey, Figures]],
    options: ReportOptions,
    names: FunctionNames,
) -> list[str]:
    """Return the table of the functions shown: each with its own figures, below it those along each edge.

    Args:
        header: of the profile.
        rows: all functions, safe to show, with their callers.
        shown: those to show, in order.
        others: as `related` returns it.
        options: the view and the layout are used.
        names: what functions are called.
    """
    is_callers = options.view is View.CALLERS
    arrow = "<-" if is_callers else "->"
    unit = times_unit(unit_of(rows[one].figures.total_ns for one in shown), header)
    table = []
    for function in shown:
        own = rows[function].figures
        table.append(Row(("", *_figures(own, unit), names.name(function), names.place(function)), style=BOLD))
        edges = sorted(others[function].items(), key=lambda edge: (-edge[1].total_ns, -edge[1].calls, edge[0]))
        # Of callers the share of the function's time; of callees what they take of it.
        table += [
            Row(
                (
                    percent(part(along.total_ns, own.total_ns)),
                    *_figures(along, unit),
                    f"  {arrow} {names.name(other)}",
                    names.place(other),
                )
            )
            for other, along in edges
        ]
    titles = ("%", f"total {unit.name}", f"self {unit.name}", "calls")
    title = Column(f"function {arrow} {'caller' if is_callers else 'callee'}", Kind.NAME)
    columns = [*map(Column, titles), title, Column("where", Kind.PLACE, DIM)]
    return table_lines(columns, table, options.layout)


def _figures(figures: Figures, unit: Unit) -> tuple[str, str, str]:
    calls = count_text(figures.calls, figures.primitive_calls)
    return unit.text(figures.total_ns), unit.text(figures.self_ns), calls
