"""Two memory profiles compared as text: what is new, freed, grown, and the lines that tracemalloc prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.model.memory.statistics import By, Change, differences
from execd.reports.escape import visible
from execd.reports.lines.source_lines import SourceLines
from execd.reports.memory.options import chosen_blocks, memory_options
from execd.reports.memory.text import frame_text, process_lines, size_text, traceback_lines
from execd.reports.names import span
from execd.reports.selection import limited
from execd.reports.text import origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from execd.model.memory.statistics import Difference
    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions

_DEFAULT_LIMIT = "10"
_HEAD = f"{'change':<8}{'places':>10}{'blocks':>12}{'size':>14}"
_ROW_HEAD = f"{'change':<8}{'blocks':>12}{'size':>14}  place"


def render(earlier: Profile, later: Profile, options: ReportOptions) -> bytes:
    """Return the comparison as UTF-8 text.

    Raises:
        UsageError: a setting or a limit does not fit.
    """
    asked = memory_options(options)
    before, after = chosen_blocks(earlier, options, asked), chosen_blocks(later, options, asked)
    found = differences(before, after, asked.group, cumulative=asked.cumulative)
    shown = limited(found, _place_text, options.limits or (_DEFAULT_LIMIT,))
    which = f"profile {visible(earlier.header.profile)}, " if earlier.header.profile else ""
    lines = [*origin(later.header), *process_lines(later.header), f"Compared with: {which}{span(earlier.header)}"]
    lines += ["", *_rows(found, len(shown)), "", *_sums(found), ""]
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


def _rows(found: Sequence[Difference], most: int) -> list[str]:
    """Return what changed most: first what takes more than before, then what takes less."""
    changed = [one for one in found if one.change is not Change.SAME]
    more = [one for one in changed if one.change in (Change.NEW, Change.GROWN)]
    less = [one for one in changed if one.change in (Change.SHRUNK, Change.FREED)]
    rows = [
        f"{one.change.value:<8}{one.count_delta:>+12}{size_text(one.size_delta, signed=True):>14}  "
        # The newest frame: the line that allocated.
        f"{frame_text(one.place[-1])}"
        for one in [*more[:most], *less[:most]]
    ]
    return [_ROW_HEAD, *rows] if rows else ["nothing changed"]


def _sums(found: Iterable[Difference]) -> list[str]:
    rows = {change: [one for one in found if one.change is change] for change in Change if change is not Change.SAME}
    lines = [_sum(change.value, members) for change, members in rows.items()]
    return [_HEAD, *lines, _sum("delta", [one for members in rows.values() for one in members])]


def _sum(name: str, members: Sequence[Difference]) -> str:
    count, size = sum(one.count_delta for one in members), sum(one.size_delta for one in members)
    return f"{name:<8}{len(members):>10}{count:>+12}{size_text(size, signed=True):>14}"
