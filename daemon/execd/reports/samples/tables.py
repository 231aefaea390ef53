"""The tables of samples: a line a place, and under each place those that called it, or that it called."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from execd.model.samples import NONE, Amount, standard_error
from execd.reports.figures import part, percent, unit_of
from execd.reports.layout import BOLD, CYAN
from execd.reports.options import View as Tables
from execd.reports.samples.names import CLOCKS
from execd.reports.samples.order import OWN, TOTAL, sort_key
from execd.reports.tables import Column, Kind, Row, table_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from execd.model.fold import FunctionKey
    from execd.reports.layout import Layout
    from execd.reports.options import ReportOptions
    from execd.reports.samples.names import PlaceNames

# A column with its cells, one a row.
_Filled: TypeAlias = tuple[Column, "list[str]"]
# From so many columns of a terminal on there is room for counts beside times.
_ROOMY: Final = 100
# A share of more samples than these is as good as what is shown of it: a twentieth.
_FEW: Final = 400


@dataclass(frozen=True, slots=True)
class Rows:
    """What is in a table.

    Attributes:
        found: by measure what each place has of it; the first measure is what the table is ordered by.
        names: what the places are called.
        clock: of what the times are, "CPU"; "" where each measure says so itself.
    """

    found: Mapping[str, Mapping[FunctionKey, Amount]]
    names: PlaceNames
    clock: str

    @property
    def leading(self) -> Mapping[FunctionKey, Amount]:
        """What the table is ordered by."""
        return next(iter(self.found.values()))


def place_table(rows: Rows, shown: Sequence[FunctionKey], options: ReportOptions) -> list[str]:
    """Return the lines of the table.

    Args:
        rows: what there is.
        shown: the places to show, in order.
        options: what it is ordered by, and the layout.
    """
    make = _recorded if rows.clock else _imported
    filled = make(rows, shown, options)
    figures = zip(*(cells for _, cells in filled), strict=True)
    table = [Row((*row, *rows.names.cells(place))) for row, place in zip(figures, shown, strict=True)]
    return table_lines([*(column for column, _ in filled), *rows.names.columns()], table, options.layout)


def edge_table(
    rows: Rows,
    shown: Sequence[FunctionKey],
    others: Mapping[FunctionKey, Mapping[FunctionKey, Amount]],
    options: ReportOptions,
) -> list[str]:
    """Return the table of places, each with its figures and below it those along each edge.

    Args:
        rows: what there is, of one measure.
        shown: the places to show, in order.
        others: for each place those at the other ends of its edges, with what is along each.
        options: the tables and the layout are used.
    """
    measure, is_callers = next(iter(rows.found)), options.view is Tables.CALLERS
    arrow = "<-" if is_callers else "->"
    titles, texts = _unit(measure, rows.clock, [rows.leading[one] for one in shown])
    table = []
    for place in shown:
        own = rows.leading[place]
        table.append(Row(("", *texts(own), *rows.names.cells(place)), style=BOLD))
        edges = sorted(others[place].items(), key=lambda edge: (-edge[1].total, edge[0]))
        for other, along in edges:
            share, (name, *where) = percent(part(along.total, own.total)), rows.names.cells(other)
            table.append(Row((share, *texts(along), f"  {arrow} {name}", *where)))
    first, *others_columns = rows.names.columns()
    lead = replace(first, title=f"{first.title} {arrow} {'caller' if is_callers else 'callee'}", kind=Kind.NAME)
    return table_lines([Column("%"), *map(Column, titles), lead, *others_columns], table, options.layout)


def is_roomy(layout: Layout) -> bool:
    """Return whether there is room for counts and errors beside times."""
    return not layout.width or layout.width >= _ROOMY


def errors(counts: Sequence[int], whole: int, layout: Layout) -> list[_Filled]:
    """Return the column with the standard errors of shares, in points; nothing where none is of few samples."""
    if not is_roomy(layout):
        return []
    if not any(0 < count < _FEW for count in counts):
        return []
    cells = [f"{100 * _error(count, whole):.1f}" if count else "" for count in counts]
    return [(Column("+-" if layout.is_ascii else "±"), cells)]


def _error(count: int, whole: int) -> float:
    """Return the standard error of a share; of samples that are all alike by Laplace's rule, for it is not 0."""
    return standard_error(count, whole) if count < whole else standard_error(whole + 1, whole + 2)


def _recorded(rows: Rows, shown: Sequence[FunctionKey], options: ReportOptions) -> list[_Filled]:
    """Return the figures of samples that the daemon took: time first, by what the table is ordered by."""
    by_total, layout = sort_key(options, OWN[0]) in TOTAL, options.layout
    samples, times = rows.found["samples"], [rows.found["wall_ns"][one] for one in shown]
    unit = unit_of(one.total for one in times)
    both = [
        (Column(f"{what} {unit.name}"), [unit.text(ns) for ns in column])
        for what, column in (("self", [one.own for one in times]), ("total", [one.total for one in times]))
    ]
    counts = [samples[one].total if by_total else samples[one].own for one in shown]
    whole = sum(one.own for one in samples.values())
    shares = [part(count, whole) for count in counts]
    lead, other = both[::-1] if by_total else both
    return [
        lead,
        (Column("%"), [percent(share) for share in shares]),
        *errors(counts, whole, layout),
        (Column("", Kind.WORD, CYAN), [layout.bar(share) for share in shares]),
        other,
        *([(Column("samples"), [f"{count:,}" for count in counts])] if is_roomy(layout) else []),
    ]


def _imported(rows: Rows, shown: Sequence[FunctionKey], options: ReportOptions) -> list[_Filled]:
    """Return the figures of samples out of a file: the share of the first measure, then what there is of each."""
    own = not options.sort or options.sort[0] not in TOTAL
    whole = sum(one.own for one in rows.leading.values())
    shares = [part(rows.leading[one].own if own else rows.leading[one].total, whole) for one in shown]
    filled = [
        (Column("%"), [percent(share) for share in shares]),
        (Column("", Kind.WORD, CYAN), [options.layout.bar(share) for share in shares]),
    ]
    for measure, amounts in rows.found.items():
        here = [amounts.get(one, NONE) for one in shown]
        (total, own_title), texts = _unit(measure, "", here)
        cells = [texts(one) for one in here]
        filled += [(Column(own_title), [own for _, own in cells]), (Column(total), [total for total, _ in cells])]
    return filled


def _unit(
    measure: str, clock: str, amounts: Sequence[Amount]
) -> tuple[tuple[str, str], Callable[[Amount], tuple[str, str]]]:
    """Return the titles of total and own, and what makes their cells."""
    if measure not in CLOCKS:
        return ("total", "self"), lambda one: (f"{one.total:,}", f"{one.own:,}")
    unit = unit_of(one.total for one in amounts)
    which = "" if clock else f"{CLOCKS[measure]} "
    return (f"total {which}{unit.name}", f"self {which}{unit.name}"), lambda one: (
        unit.text(one.total),
        unit.text(one.own),
    )
