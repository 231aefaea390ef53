"""The text report on lines: the files by hits and coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.reports.escape import visible
from execd.reports.figures import number_of, part, percent
from execd.reports.header import header_lines, summary_lines
from execd.reports.layout import CYAN, DIM
from execd.reports.lines.files import reported
from execd.reports.next_commands import closing, source_of
from execd.reports.tables import Column, Kind, Row, table_lines

if TYPE_CHECKING:
    from execd.model.lines.listing import Tally
    from execd.model.profile import Profile
    from execd.reports.layout import Layout
    from execd.reports.lines.files import ReportedFile
    from execd.reports.options import ReportOptions

_BAR = Column("", Kind.WORD, CYAN)
_NAMES = (Column("module", Kind.NAME), Column("file", Kind.PLACE, DIM))
_COUNTED = (Column("hits"), Column("%"), _BAR, Column("ran"), Column("lines"), Column("cov%"), *_NAMES)
_COVERED = (Column("cov%"), _BAR, Column("ran"), Column("lines"), *_NAMES)


@dataclass(frozen=True, slots=True)
class _File:
    """What is shown of a file; its text is not kept."""

    path: str
    module: str
    problem: str
    hits: int
    tally: Tally
    has_text: bool
    # Without its executable lines, or with those of another text, a share would be a guess.
    has_share: bool

    @property
    def share(self) -> str:
        return f"{self.tally.percent}%" if self.has_share else "?"


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the report as UTF-8 text: the files that ran most first.

    Raises:
        UsageError: a setting does not fit.
    """
    files = sorted(map(_shown, reported(profile, options)), key=lambda file: (-file.hits, file.path))
    lines = header_lines(profile.header, options.layout)
    is_counted = profile.header.collector != "cover"
    lines += summary_lines([_summary(files, is_counted=is_counted)], options.layout)
    lines += _table(files, options.layout, is_counted=is_counted)
    lines += closing(options.layout, source_of(profile.header, (file.path for file in files if file.has_text)))
    return "\n".join([*lines, ""]).encode()


def _summary(files: list[_File], *, is_counted: bool) -> str:
    # Of a file whose lines are not known no share is either.
    tallies = [file.tally for file in files if file.has_share]
    ran, lines = sum(one.hit for one in tallies), sum(one.lines for one in tallies)
    hits = f"{number_of(sum(file.hits for file in files), 'hit')} in " if is_counted else ""
    share = f"; {ran:,} of {lines:,} lines ran, {percent(part(ran, lines))}%" if lines else ""
    return f"{hits}{number_of(len(files), 'file')}{share}"


def _table(files: list[_File], layout: Layout, *, is_counted: bool) -> list[str]:
    if not files:
        return ["   (no lines)"]
    if not is_counted:
        return table_lines(_COVERED, [_covered(file, layout) for file in files], layout)
    whole = sum(file.hits for file in files)
    return table_lines(_COUNTED, [_counted(file, whole, layout) for file in files], layout)


def _shown(file: ReportedFile) -> _File:
    hits = sum(file.hits.values())
    has_text, has_share = file.text is not None, bool(file.runnable)
    return _File(file.path, file.module, file.problem, hits, file.tally(), has_text, has_share)


def _counted(file: _File, whole: int, layout: Layout) -> Row:
    share = part(file.hits, whole)
    figures = (f"{file.hits:,}", percent(share), layout.bar(share), *_lines(file), file.share)
    return Row((*figures, *_names(file)), _below(file))


def _covered(file: _File, layout: Layout) -> Row:
    bar = layout.bar(part(file.tally.hit, file.tally.lines)) if file.has_share else ""
    return Row((file.share, bar, *_lines(file), *_names(file)), _below(file))


def _lines(file: _File) -> tuple[str, str]:
    return f"{file.tally.hit:,}", f"{file.tally.lines:,}"


def _names(file: _File) -> tuple[str, str]:
    return visible(file.module), visible(file.path)


def _below(file: _File) -> tuple[str, ...]:
    return (f"! {visible(file.problem)}",) if file.problem else ()
