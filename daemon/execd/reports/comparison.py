"""The comparison of two profiles as text: functions new, gone, more, less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.model.change import compare, of_one_session
from execd.model.fold import renamed, strip_dirs
from execd.model.timeslices import slices_in
from execd.reports.escape import visible
from execd.reports.figures import unit_of
from execd.reports.function_names import FunctionNames
from execd.reports.header import header_lines, summary_lines
from execd.reports.layout import DIM
from execd.reports.names import plain_basis, span, visible_function
from execd.reports.next_commands import callers_of, closing
from execd.reports.selection import ROWS_SHOWN, select, top
from execd.reports.tables import Column, Kind, Row, table_lines
from execd.reports.times import time_facts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from execd.model.change import Change, Comparison
    from execd.model.fold import FunctionKey, FunctionRow
    from execd.model.profile import Header, Profile
    from execd.reports.header import Fact
    from execd.reports.options import ReportOptions


def render(earlier: Profile, later: Profile, options: ReportOptions) -> bytes:
    """Return the comparison as UTF-8 text.

    Raises:
        UsageError: a sort key or limit that does not parse, or profiles that cannot be compared.
    """

    def shown(rows: Mapping[FunctionKey, FunctionRow]) -> dict[FunctionKey, FunctionRow]:
        rows = renamed(rows, visible_function)
        return strip_dirs(rows) if options.strip_dirs else rows

    comparison = compare(earlier, later, shown)
    changes = {change.function: change for change in comparison.changes}
    selection = select({one: change.delta for one, change in changes.items()}, options, default_sort=())
    kept, rest = top(selection.functions, options, ROWS_SHOWN)
    lines = header_lines(later.header, options.layout, [*time_facts(later.header), *_basis(comparison)])
    lines += summary_lines(selection.notes(), options.layout)
    names = FunctionNames((earlier, later), strip_dirs=options.strip_dirs)
    lines += _table([changes[one] for one in kept], comparison, names, options) if kept else ["   (no functions)"]
    lines += [*rest, *closing(options.layout, callers_of(later, kept))]
    return "\n".join([*lines, ""]).encode()


def compared_with(earlier: Header, how: str = "") -> Fact:
    """Return the fact that says what a profile is compared with, and how."""
    parts = [f"profile {visible(earlier.profile)}"] if earlier.profile else []
    return "Compared with", ", ".join([*parts, span(earlier), *([how] if how else [])])


def _basis(comparison: Comparison) -> list[Fact]:
    counts = [change.kind.value for change in comparison.changes]
    kinds = ", ".join(f"{counts.count(kind):,} {kind}" for kind in ("new", "gone", "more", "less"))
    earlier = comparison.earlier
    of_one = "of one session: " if of_one_session(earlier, comparison.later) else ""
    basis = "per second of each" if comparison.per_second else f"{of_one}{plain_basis(earlier, comparison.later)}"
    return [compared_with(earlier, basis), ("Functions", kinds), *_earlier_slices(earlier, comparison.later)]


def _earlier_slices(earlier: Header, later: Header) -> list[Fact]:
    """Return what is to be known of time slices: those of the later one stand among its own caveats."""
    told = slices_in(later)
    return [("Caveat", f"what this is compared with was {one.caveat}") for one in slices_in(earlier) if one not in told]


def _table(
    changes: Sequence[Change], comparison: Comparison, names: FunctionNames, options: ReportOptions
) -> list[str]:
    decimals = 1 if comparison.per_second else 0
    per = "/s" if comparison.per_second else ""
    unit = unit_of(ns for change in changes for ns in (change.delta.self_ns, change.delta.total_ns))
    rows = [
        Row(
            (
                change.kind.value,
                unit.text(change.delta.self_ns, signed=True),
                unit.text(change.delta.total_ns, signed=True),
                f"{change.later.calls:,.{decimals}f}",
                f"{change.delta.calls:+,.{decimals}f}",
                names.name(change.function),
                names.place(change.function),
            )
        )
        for change in changes
    ]
    titles = (f"+self {unit.name}{per}", f"+total {unit.name}{per}", f"calls{per}", f"+calls{per}")
    columns = [Column("change", Kind.WORD), *map(Column, titles)]
    columns += [Column("function", Kind.NAME), Column("where", Kind.PLACE, DIM)]
    return table_lines(columns, rows, options.layout)
