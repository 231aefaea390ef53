"""The text report: where the profile comes from, then the tables of pstats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.model.filter import threads, where
from execd.model.fold import by_function, renamed, strip_dirs
from execd.model.origins import origins_of
from execd.model.profile import IMPORTED
from execd.reports.escape import visible
from execd.reports.names import command_line, span, thread_title, visible_function
from execd.reports.options import View
from execd.reports.tables import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.model.fold import FunctionKey, FunctionRow
    from execd.model.profile import Header, Profile
    from execd.reports.options import ReportOptions

# Of the profiles of a sum.
_PARTS_SHOWN = 20


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the report as UTF-8 text.

    Raises:
        UsageError: a sort key or limit that does not parse.
    """
    lines = [*origin(profile.header), ""]
    if not options.per_thread:
        lines += _table(profile, options)
    for label in threads(profile) if options.per_thread else []:
        part = where(profile, label.__eq__)
        lines += [thread_title(label), "", *_table(part, options)]
    return "\n".join([*lines, ""]).encode()


def _table(profile: Profile, options: ReportOptions) -> list[str]:
    rows = shown_rows(profile, options, with_callers=options.view is not View.FUNCTIONS)
    return table(rows, options)


def shown_rows(profile: Profile, options: ReportOptions, *, with_callers: bool) -> dict[FunctionKey, FunctionRow]:
    """Return the fold of a profile with names that are safe to show, stripped where the options say so.

    Raises:
        UsageError: the profile is no call tree.
    """
    rows = renamed(by_function(profile, with_callers=with_callers), visible_function)
    return strip_dirs(rows) if options.strip_dirs else rows


def origin(header: Header) -> list[str]:
    """Return the lines that say where a profile comes from and what is to be known about it."""
    profile = f", profile {visible(header.profile)}" if header.profile else ""
    caveats = [f"Caveat: {visible(caveat)}" for caveat in header.caveats]
    origins = origins_of(header)
    if header.form == IMPORTED and not origins:
        file = f"File: {command_line(header)}, {span(header)}{profile}"
        return [file, f"Collector: {visible(header.collector)}", *caveats]
    session = f", session {visible(header.session)}" if header.session and not origins else ""
    lost = ", ".join(f"{visible(reason)}: {count}" for reason, count in header.lost.items() if count)
    return [
        *(_sum(origins) if origins else _target(header)),
        f"Collector: {visible(header.collector)}, {visible(header.form)} form{session}",
        f"Span: {span(header)}{profile}",
        f"Lost: {lost or 'nothing'}",
        *caveats,
    ]


def _target(header: Header) -> list[str]:
    return [f"Target: {command_line(header)}", f"Process: {header.pid}, {_python(header)}"]


def _sum(origins: Sequence[Header]) -> list[str]:
    earlier = len(origins) - _PARTS_SHOWN
    more = [f"    {earlier} earlier ones"] if earlier > 0 else []
    return [f"Sum of: {len(origins)} profiles", *more, *(f"    {_part(one)}" for one in origins[-_PARTS_SHOWN:])]


def _part(header: Header) -> str:
    profile = f"{visible(header.profile)}: " if header.profile else ""
    if header.form == IMPORTED:
        return f"{profile}{command_line(header)}, {span(header)}"
    process = f"process {header.pid}, {_python(header)}, session {visible(header.session)}"
    return f"{profile}{command_line(header)}, {process}, {span(header)}"


def _python(header: Header) -> str:
    return f"Python {visible(header.python_version) or 'of unknown version'}"
