"""The comparison of two profiles of lines as text: lines newly hit, and lines hit more, with their source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.model.lines.change import compare_lines
from execd.model.lines.listing import is_file
from execd.reports.comparison import compared_with
from execd.reports.escape import visible
from execd.reports.header import header_lines
from execd.reports.layout import DIM
from execd.reports.lines.files import chosen, text_of
from execd.reports.lines.listing import source_line
from execd.reports.names import plain_basis
from execd.reports.tables import Column, Kind, Row, table_lines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from execd.model.lines.change import LineChange
    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions


class Texts:
    """Lines of the sources of two profiles; the later one's where both have the file."""

    def __init__(self, earlier: Profile, later: Profile, options: ReportOptions) -> None:
        self._sources = {file.path: file for profile in (earlier, later) for file in profile.files}
        self._options = options
        self._lines: dict[str, tuple[str, ...]] = {}

    def line(self, path: str, number: int) -> str | None:
        """Return a line, None where there is none."""
        if path not in self._lines:
            source = self._sources.get(path)
            text, _ = text_of(source, self._options) if source else (None, "")
            self._lines[path] = text.lines if text is not None else ()
        lines = self._lines[path]
        return lines[number - 1] if number <= len(lines) else None


def render(earlier: Profile, later: Profile, options: ReportOptions) -> bytes:
    """Return the comparison as UTF-8 text. Raises UsageError where the profiles cannot be compared."""
    comparison = compare_lines(earlier, later)
    changes = shown_changes(comparison.changes, earlier, later, options)
    counts = [change.kind.value for change in changes]
    kinds = ", ".join(f"{counts.count(kind)} {kind}" for kind in ("new", "gone", "more", "less"))
    texts = Texts(earlier, later, options)
    how = "per second of each" if comparison.per_second else plain_basis(earlier.header, later.header)
    lines = header_lines(later.header, options.layout, [compared_with(earlier.header, how), ("Lines", kinds)])
    per = "/s" if comparison.per_second else ""
    columns = [Column("change", Kind.WORD), Column(f"hits{per}"), Column(f"+hits{per}")]
    columns += [Column("source", Kind.TEXT), Column("where", Kind.PLACE, DIM)]
    decimals = 1 if comparison.per_second else 0
    rows = [_row(change, texts, decimals) for change in changes]
    lines += table_lines(columns, rows, options.layout) if rows else ["   (no lines)"]
    return "\n".join([*lines, ""]).encode()


def shown_changes(
    changes: Iterable[LineChange], earlier: Profile, later: Profile, options: ReportOptions
) -> list[LineChange]:
    """Return the changes in files that the settings do not leave out. Raises UsageError where those do not fit."""
    named = bool(options.settings.get("file"))
    files = {file.path for profile in ((later,) if named else (earlier, later)) for file in chosen(profile, options)}
    return [change for change in changes if is_file(change.path) and change.path in files]


def _row(change: LineChange, texts: Texts, decimals: int) -> Row:
    text = texts.line(change.path, change.line)
    shown = source_line(text).strip() if text is not None else ""
    figures = (f"{change.later:,.{decimals}f}", f"{change.delta:+,.{decimals}f}")
    return Row((change.kind.value, *figures, shown, f"{visible(change.path)}:{change.line}"))
