"""The tables of pstats: functions, callers, callees. Layout and number format are those of `pstats.Stats`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.model.fold import callees, totals
from execd.reports.names import standard_name
from execd.reports.options import View
from execd.reports.selection import select

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from execd.model.fold import Figures, FunctionKey, FunctionRow
    from execd.reports.options import ReportOptions
    from execd.reports.selection import Selection

FUNCTIONS_TITLE = "   ncalls  tottime  percall  cumtime  percall filename:lineno(function)"
_CALLS_TITLE = "    ncalls  tottime  cumtime"
_NO_FIGURE = " " * 8


def table(rows: Mapping[FunctionKey, FunctionRow], options: ReportOptions) -> list[str]:
    """Return the lines of a table, with how it is ordered and reduced.

    Args:
        rows: the functions, already safe to show.
        options: its view, sort, reverse and limits are used.

    Raises:
        UsageError: a sort key or limit that does not parse.
    """
    selection = select({function: row.figures for function, row in rows.items()}, options)
    lines = [*_summary(rows), ""] if options.view is View.FUNCTIONS else []
    lines += ordering(selection)
    if not selection.functions:
        return [*lines, "   (no functions)", ""]
    match options.view:
        case View.FUNCTIONS:
            lines += [
                FUNCTIONS_TITLE,
                *(_function_line(one, rows[one].figures) for one in selection.functions),
            ]
        case View.CALLERS:
            lines += _calls(selection, {one: row.callers for one, row in rows.items()}, "was called by...", "<-")
        case View.CALLEES:
            lines += _calls(selection, callees(rows), "called...", "->")
    return [*lines, ""]


def ordering(selection: Selection) -> list[str]:
    """Return the lines that say how a table is ordered and reduced."""
    lines = [f"   Ordered by: {selection.ordered_by}"] if selection.ordered_by else []
    lines += [f"   {reduction}" for reduction in selection.reductions]
    return [*lines, ""] if lines else []


def seconds(ns: float) -> str:
    """Return a time as pstats prints it: seconds with three decimals in eight columns."""
    return f"{ns / 1e9:8.3f}"


def count(calls: int, primitive_calls: int) -> str:
    """Return calls as pstats prints them: `3/1` where some were recursive."""
    return f"{calls}" if calls == primitive_calls else f"{calls}/{primitive_calls}"


def _summary(rows: Mapping[FunctionKey, FunctionRow]) -> list[str]:
    total = totals(rows)
    primitive = f" ({total.primitive_calls} primitive calls)" if total.primitive_calls != total.calls else ""
    lines = [f"         {total.calls} function calls{primitive} in {total.self_ns / 1e9:.3f} seconds"]
    if total.open:
        lines.append(f"         {total.open} already running at the start: time from then, no call")
    return lines


def _function_line(function: FunctionKey, figures: Figures) -> str:
    parts = [
        count(figures.calls, figures.primitive_calls).rjust(9),
        seconds(figures.self_ns),
        _per_call(figures.self_ns, figures.calls),
        seconds(figures.total_ns),
        _per_call(figures.total_ns, figures.primitive_calls),
        standard_name(function),
    ]
    return " ".join(parts)


def _per_call(ns: int, calls: int) -> str:
    # In seconds before the division, as pstats has it: the last digit is the same.
    return f"{ns / 1e9 / calls:8.3f}" if calls else _NO_FIGURE


def _calls(
    selection: Selection,
    others: Mapping[FunctionKey, Mapping[FunctionKey, Figures]],
    title: str,
    arrow: str,
) -> Iterable[str]:
    width = max(len(standard_name(function)) for function in selection.functions) + 2
    yield "Function ".ljust(width) + title
    if any(others.values()):
        yield " " * width + _CALLS_TITLE
    for function in selection.functions:
        lead = standard_name(function).ljust(width) + arrow + " "
        parts = [(other, others[function][other]) for other in sorted(others[function])]
        yield lead + _call_part(7, *parts[0]) if parts else lead
        for part in parts[1:]:
            yield " " * (width + 1) + _call_part(9, *part)


def _call_part(width: int, other: FunctionKey, figures: Figures) -> str:
    calls = count(figures.calls, figures.primitive_calls).rjust(width)
    return f"{calls} {seconds(figures.self_ns)} {seconds(figures.total_ns)}  {standard_name(other)}"
