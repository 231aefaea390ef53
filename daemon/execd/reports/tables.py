"""The table of every text report: figures first, then names, then places, in lines that fit the width."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from execd.reports.layout import BOLD
from execd.reports.widths import cut, end_of, padded, short_path, width_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.reports.layout import Layout

_GAP = "  "
_BELOW = "    "
# Of a name where nothing is shortened: a longer one moves what stands after it on its own line alone.
_PADDED = 60
# What stands before the name of a caller.
_LEAD = re.compile("  (?:<-|->) ")
# Of a column that is shortened, however narrow the whole is.
_FEWEST = 10


class Kind(Enum):
    """What a column holds."""

    FIGURE = "figure"
    WORD = "word"
    NAME = "name"
    TEXT = "text"
    PLACE = "place"


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        title: above it.
        kind: a figure stands at the right, a word at the left, both whole; of a name that is too long the end is
            shown, of a text the start, of a place the first and the last directories.
        style: an SGR code for its cells.
    """

    title: str
    kind: Kind = Kind.FIGURE
    style: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row.

    Attributes:
        cells: a text for each column, safe to show.
        below: lines below it, safe to show; they are cut where they are too long.
        style: an SGR code for its cells.
    """

    cells: tuple[str, ...]
    below: tuple[str, ...] = ()
    style: str = ""


def table_lines(columns: Sequence[Column], rows: Sequence[Row], layout: Layout) -> list[str]:
    """Return the lines of a table, its titles first."""
    widths = _widths(columns, rows, layout)
    lines = [_line(columns, widths, Row(tuple(column.title for column in columns), style=BOLD), layout)]
    for row in rows:
        lines.append(_line(columns, widths, row, layout))
        lines += [_BELOW + _fitted(text, layout) for text in row.below]
    return lines


def _fitted(text: str, layout: Layout) -> str:
    return cut(text, layout.width - len(_BELOW), layout.mark) if layout.width else text


def _widths(columns: Sequence[Column], rows: Sequence[Row], layout: Layout) -> list[int]:
    cells = [[column.title, *(row.cells[place] for row in rows)] for place, column in enumerate(columns)]
    widths = [max(map(width_of, texts)) for texts in cells]
    flexible = [place for place, column in enumerate(columns) if column.kind not in (Kind.FIGURE, Kind.WORD)]
    if not layout.width:
        return [min(width, _PADDED) if place in flexible else width for place, width in enumerate(widths)]
    gaps = len(_GAP) * (len(columns) - 1)
    left = layout.width - gaps - sum(width for place, width in enumerate(widths) if place not in flexible)
    # Each gets what it wants, or an even part of what is left: what a short one leaves goes to the others.
    for nth, place in enumerate(sorted(flexible, key=widths.__getitem__)):
        widths[place] = min(widths[place], max(left // (len(flexible) - nth), _FEWEST))
        left -= widths[place]
    return widths


def _line(columns: Sequence[Column], widths: Sequence[int], row: Row, layout: Layout) -> str:
    shown = []
    for column, width, cell in zip(columns, widths, row.cells, strict=True):
        text = _shortened(column, cell, width, layout)
        blanks = padded("", width - width_of(text))
        styled = layout.styled(text, row.style or column.style)
        shown.append(blanks + styled if column.kind is Kind.FIGURE else styled + blanks)
    return _GAP.join(shown).rstrip()


def _shortened(column: Column, cell: str, width: int, layout: Layout) -> str:
    if not layout.width or width_of(cell) <= width:
        return cell
    match column.kind:
        case Kind.NAME:
            lead = _LEAD.match(cell)
            start = lead.end() if lead else 0
            return cell[:start] + end_of(cell[start:], width - start, layout.mark)
        case Kind.TEXT:
            return cut(cell, width, layout.mark)
        case Kind.PLACE:
            return short_path(cell, width, layout.mark)
    return cell
