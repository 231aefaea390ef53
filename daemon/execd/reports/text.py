"""The text report of calls: where the profile comes from, then its functions, those first that take the most time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.model.filter import threads, where
from execd.model.fold import by_function, renamed, strip_dirs, totals
from execd.reports import edges
from execd.reports.figures import count_text, number_of, part, percent, time_text, unit_of
from execd.reports.function_names import FunctionNames
from execd.reports.header import header_lines, summary_lines
from execd.reports.layout import CYAN, DIM
from execd.reports.names import thread_title, visible_function
from execd.reports.next_commands import callers_of, closing
from execd.reports.options import View
from execd.reports.selection import ROWS_SHOWN, leading, select, top
from execd.reports.tables import Column, Kind, Row, table_lines
from execd.reports.times import all_taken_note, time_facts, times_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from execd.model.fold import Figures, FunctionKey, FunctionRow
    from execd.model.profile import Header, Profile
    from execd.reports.figures import Unit
    from execd.reports.layout import Layout
    from execd.reports.options import ReportOptions

# By the time in the function itself: with several threads the sums over all that was called are those of the
# functions which started them, and say nothing.
USUAL_SORT = ("time",)
# From so many columns on there is room for what one call takes.
_ROOMY = 120


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the report as UTF-8 text.

    Raises:
        UsageError: a sort key or limit that does not parse.
    """
    lines = header_lines(profile.header, options.layout, time_facts(profile.header))
    names = FunctionNames([profile], strip_dirs=options.strip_dirs)
    shown: list[FunctionKey] = []
    if not options.per_thread:
        lines += _tables(profile, options, names, shown)
    for label in threads(profile) if options.per_thread else []:
        lines += [thread_title(label), "", *_tables(where(profile, label.__eq__), options, names, shown), ""]
    lines += closing(options.layout, callers_of(profile, shown) if options.view is View.FUNCTIONS else "")
    return "\n".join([*lines, ""]).encode()


def shown_rows(profile: Profile, options: ReportOptions, *, with_callers: bool) -> dict[FunctionKey, FunctionRow]:
    """Return the fold of a profile with names that are safe to show, stripped where the options say so.

    Raises:
        UsageError: the profile is no call tree.
    """
    rows = renamed(by_function(profile, with_callers=with_callers), visible_function)
    return strip_dirs(rows) if options.strip_dirs else rows


def _tables(profile: Profile, options: ReportOptions, names: FunctionNames, shown: list[FunctionKey]) -> list[str]:
    """Return the summary and the table of a profile, and note the functions that it shows and that were called."""
    rows = shown_rows(profile, options, with_callers=options.view is not View.FUNCTIONS)
    selection = select({function: row.figures for function, row in rows.items()}, options, USUAL_SORT)
    kept, rest = top(selection.functions, options, ROWS_SHOWN if options.view is View.FUNCTIONS else edges.ROWS_SHOWN)
    # One that only ran already was called by nobody here.
    shown += [function for function in kept if rows[function].figures.calls]
    related = {} if options.view is View.FUNCTIONS else edges.related(rows, options.view)
    shown_figures = [one for function in kept for one in (rows[function].figures, *related.get(function, {}).values())]
    notes = [*selection.notes(), *all_taken_note(profile.header, shown_figures)]
    lines = summary_lines([*_summary(profile, rows), *notes], options.layout)
    if not kept:
        return [*lines, "   (no functions)"]
    if options.view is View.FUNCTIONS:
        lines += _functions(profile.header, rows, kept, leading(options, USUAL_SORT), names, options.layout)
    else:
        lines += edges.lines(profile.header, rows, kept, related, options, names)
    return [*lines, *rest]


def _summary(profile: Profile, rows: Mapping[FunctionKey, FunctionRow]) -> list[str]:
    total = totals(rows)
    primitive = f" ({total.primitive_calls:,} primitive calls)" if total.primitive_calls != total.calls else ""
    calls, functions = number_of(total.calls, "call"), number_of(len(rows), "function")
    ran = len(threads(profile))
    where_ran = f" in {ran} threads" if ran > 1 else ""
    lines = [f"{calls}{primitive} of {functions}, {time_text(total.self_ns)}{where_ran}"]
    if total.open:
        lines.append(f"{total.open:,} already running at the start: time from then, no call")
    return lines


def _functions(
    header: Header,
    rows: Mapping[FunctionKey, FunctionRow],
    shown: Sequence[FunctionKey],
    lead: str,
    names: FunctionNames,
    layout: Layout,
) -> list[str]:
    """Return the table: what it is ordered by first, with the share of it."""
    unit = unit_of(ns for one in shown for ns in (rows[one].figures.self_ns, rows[one].figures.total_ns))
    unit = times_unit(unit, header)
    whole = totals(rows)
    figures = _figures(unit, lead, is_roomy=not layout.width or layout.width >= _ROOMY)
    table = []
    for function in shown:
        own = rows[function].figures
        share = part(getattr(own, lead), getattr(whole, lead))
        first, *others = (text(own) for _, text in figures)
        table.append(
            Row((first, percent(share), layout.bar(share), *others, names.name(function), names.place(function)))
        )
    lead_title, *titles = (Column(title) for title, _ in figures)
    columns = [lead_title, Column("%"), Column("", Kind.WORD, CYAN), *titles]
    columns += [Column("function", Kind.NAME), Column("where", Kind.PLACE, DIM)]
    return table_lines(columns, table, layout)


def _figures(unit: Unit, lead: str, *, is_roomy: bool) -> list[tuple[str, Callable[[Figures], str]]]:
    """Return the columns of figures, the leading one first: each with its title, and how its cells are made."""
    known: dict[str, tuple[str, Callable[[Figures], str]]] = {
        "self_ns": (f"self {unit.name}", lambda one: unit.text(one.self_ns)),
        "total_ns": (f"total {unit.name}", lambda one: unit.text(one.total_ns)),
        "calls": ("calls", lambda one: count_text(one.calls, one.primitive_calls)),
    }
    ordered = [known[key] for key in dict.fromkeys([lead, *known])]
    return [*ordered, (f"{unit.name} a call", lambda one: _each(one, unit))] if is_roomy else ordered


def _each(figures: Figures, unit: Unit) -> str:
    return unit.exactly(figures.total_ns / figures.primitive_calls) if figures.primitive_calls else ""
