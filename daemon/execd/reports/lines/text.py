"""The text report on lines: the files by hits and coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.reports.escape import visible
from execd.reports.lines.files import reported
from execd.reports.text import origin

if TYPE_CHECKING:
    from execd.model.profile import Profile
    from execd.reports.lines.files import ReportedFile
    from execd.reports.options import ReportOptions

_TITLE = "        hits    lines      ran   cov%  file"


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the report as UTF-8 text: the files that ran most first.

    Raises:
        UsageError: a setting does not fit.
    """
    counted = profile.header.collector != "cover"
    rows = [(sum(file.hits.values()), *_row(file, counted=counted)) for file in reported(profile, options)]
    rows.sort(key=lambda row: (-row[0], row[1]))
    lines = [*origin(profile.header), ""]
    lines += [_TITLE, *(line for *_, shown in rows for line in shown)] if rows else ["   (no lines)"]
    return "\n".join([*lines, ""]).encode()


def _row(file: ReportedFile, *, counted: bool) -> tuple[str, list[str]]:
    tally = file.tally()
    hits = f"{sum(file.hits.values()):12d}" if counted else " " * 12
    # Without its executable lines, or with those of another text, a share would be a guess.
    share = f"{tally.percent:3d}%" if file.runnable else "   ?"
    lines = [f"{hits} {tally.lines:8d} {tally.hit:8d}   {share}  {visible(file.path)}"]
    return file.path, [*lines, *([f"{' ' * 38}! {visible(file.problem)}"] if file.problem else [])]
