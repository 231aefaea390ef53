"""Two memory profiles compared as text: what is new, freed, grown, and the lines that tracemalloc prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.model.memory.statistics import By, Change, differences
from execd.reports.comparison import compared_with
from execd.reports.figures import size_text
from execd.reports.header import header_lines
from execd.reports.lines.source_lines import SourceLines
from execd.reports.memory.options import chosen_blocks, memory_options
from execd.reports.memory.text import frame_text, process_facts, traceback_lines
from execd.reports.selection import limited
from execd.reports.tables import Column, Kind, Row, table_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from execd.model.memory.statistics import Difference
    from execd.model.profile import Profile
    from execd.reports.layout import Layout
    from execd.reports.options import ReportOptions

_DEFAULT_LIMIT = "10"
_CHANGE = Column("change", Kind.WORD)
_PLACES = (_CHANGE, Column("+size"), Column("+blocks"), Column("where", Kind.PLACE))
_SUMS = (_CHANGE, Column("+size"), Column("+blocks"), Column("places"))


def render(earlier: Profile, later: Profile, options: ReportOptions) -> bytes:
    """Return the comparison as UTF-8 text.

    Raises:
        UsageError: a setting or a limit does not fit.
    """
    asked = memory_options(options)
    before, after = chosen_blocks(earlier, options, asked), chosen_blocks(later, options, asked)
    found = differences(before, after, asked.group, cumulative=asked.cumulative)
    shown = limited(found, _place_text, options.limits or (_DEFAULT_LIMIT,))
    facts = [*process_facts(later.header), compared_with(earlier.header)]
    lines = header_lines(later.header, options.layout, facts)
    lines += [*_places(found, len(shown), options.layout), "", *_sums(found, options.layout), ""]
    sources = SourceLines(later, options)
    for one in shown:
        lines.append(difference_text(one))
        if asked.by is By.TRACEBACK:
            lines += traceback_lines(one.place, asked, sources)
    return "\n".join([*lines, ""]).encode()


def difference_text(one: Difference) -> str:
    """Return a difference as str() of tracemalloc's has it."""
    size = f"size={size_text(one.size)} ({size_text(one.size_delta, signed=True)})"
    line = f"{_place_text(one)}: {size}, count={one.count} ({one.count_delta:+})"
    return f"{line}, average={size_text(one.size / one.count)}" if one.count else line


def _place_text(one: Difference) -> str:
    return frame_text(one.place[0])


def _places(found: Sequence[Difference], most: int, layout: Layout) -> list[str]:
    """Return what changed most: first what takes more than before, then what takes less."""
    changed = [one for one in found if one.change is not Change.SAME]
    more = [one for one in changed if one.change in (Change.NEW, Change.GROWN)]
    less = [one for one in changed if one.change in (Change.SHRUNK, Change.FREED)]
    # The newest frame: the line that allocated.
    rows = [Row((*_delta(one.change.value, [one]), frame_text(one.place[-1]))) for one in [*more[:most], *less[:most]]]
    return table_lines(_PLACES, rows, layout) if rows else ["nothing changed"]


def _sums(found: Iterable[Difference], layout: Layout) -> list[str]:
    changed = [one for one in found if one.change is not Change.SAME]
    members = {change.value: [one for one in changed if one.change is change] for change in Change}
    del members[Change.SAME.value]
    rows = [Row((*_delta(name, of_it), f"{len(of_it):,}")) for name, of_it in {**members, "in all": changed}.items()]
    return table_lines(_SUMS, rows, layout)


def _delta(name: str, members: Sequence[Difference]) -> tuple[str, str, str]:
    count, size = sum(one.count_delta for one in members), sum(one.size_delta for one in members)
    return name, size_text(size, signed=True), f"{count:+,}"
