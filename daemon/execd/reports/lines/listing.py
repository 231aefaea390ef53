"""The source of one file with its hits, for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.reports.escape import visible
from execd.reports.header import header_lines
from execd.reports.lines.files import reported, without_text
from execd.reports.lines.settings import line_settings

if TYPE_CHECKING:
    from execd.model.lines.listing import ListedLine
    from execd.model.profile import Profile
    from execd.reports.lines.files import ReportedFile
    from execd.reports.options import ReportOptions

_TAB = 8


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the listing as UTF-8 text; nothing in it drives a terminal.

    Raises:
        UsageError: a setting does not fit, no file is named where there are several, or it has no text.
    """
    if not line_settings(options.settings).file and len(list(reported(profile, options))) != 1:
        raise UsageError("the format source is of one file", remedy="name it: --file FILE", format="source")
    file = next(iter(reported(profile, options)))
    if file.text is None:
        raise without_text(file)
    facts = [
        ("File", f"{visible(file.path)} ({visible(file.module)})"),
        ("Lines", _share(file)),
        *([("Problem", visible(file.problem))] if file.problem else []),
    ]
    lines = [*header_lines(profile.header, options.layout, facts), *map(_shown, file.listing())]
    return "\n".join([*lines, ""]).encode()


def source_line(text: str) -> str:
    """Return a line of source, safe to show."""
    return visible(text.rstrip("\r\n").replace("\f", " ").expandtabs(_TAB))


def _share(file: ReportedFile) -> str:
    tally = file.tally()
    if not file.runnable:
        return f"{tally.hit} ran; how many can run is not known"
    return f"{tally.hit} of {tally.lines} ran, {tally.percent}%"


def _shown(line: ListedLine) -> str:
    mark = "" if line.hits is None else ">>>>>>" if line.hits == 0 else f"{line.hits}"
    return f"{mark:>8} {line.number:6d}  {source_line(line.text)}".rstrip()
