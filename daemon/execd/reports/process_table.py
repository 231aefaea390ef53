"""The table of a tree's processes, as it stands above the reports of their sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.reports.figures import part, percent, size_text, unit_of
from execd.reports.layout import CYAN
from execd.reports.names import program
from execd.reports.tables import Column, Kind, Row, table_lines
from execd.reports.times import times_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from execd.model.processtree import TreeProcess
    from execd.reports.layout import Layout

MOST_SHOWN = 10
_TIMES = {"self_ns": "self", "wall_ns": "wall", "cpu_ns": "CPU"}
# Two processes may have run the same line, or called the same function: of these there is no share.
_SHARED = frozenset({"lines", "functions"})


def process_lines(processes: Sequence[TreeProcess], layout: Layout) -> list[str]:
    """Return the table of the processes that have most, and how many more there are."""
    if not processes:
        return []
    names = list(processes[0].figures)
    ordered = sorted(processes, key=lambda one: [-value for value in one.figures.values()])
    shown = ordered[:MOST_SHOWN]
    figures = [_figure(name, shown) for name in names]
    columns, cells = [], []
    for place, (title, text) in enumerate(figures):
        columns.append(Column(title))
        cells.append([text(one.figures[names[place]]) for one in shown])
        if not place and names[0] not in _SHARED:
            whole = sum(one.figures[names[0]] for one in processes)
            shares = [part(one.figures[names[0]], whole) for one in shown]
            columns += [Column("%"), Column("", Kind.WORD, CYAN)]
            cells += [[percent(share) for share in shares], [layout.bar(share) for share in shares]]
    columns += [Column("PID"), Column("process", Kind.TEXT)]
    cells += [[str(one.header.pid) for one in shown], [program(one.header) for one in shown]]
    lines = table_lines(columns, [Row(row) for row in zip(*cells, strict=True)], layout)
    rest = len(ordered) - len(shown)
    return [*lines, f"{rest:,} more: --json tells of each"] if rest else lines


def _figure(name: str, shown: Sequence[TreeProcess]) -> tuple[str, Callable[[int], str]]:
    """Return the title of a column, and how its cells are made."""
    if name in _TIMES:
        unit = unit_of(one.figures[name] for one in shown)
        for one in shown:
            unit = times_unit(unit, one.header)
        return f"{_TIMES[name]} {unit.name}", unit.text
    if name == "bytes":
        return "size", size_text
    return name, lambda value: f"{value:,}"
