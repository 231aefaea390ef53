"""The text report: where the profile comes from, then the tables of pstats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.model.filter import threads, where
from execd.model.fold import by_function, renamed, strip_dirs
from execd.model.profile import IMPORTED
from execd.reports.escape import visible
from execd.reports.names import command_line, span, thread_title, visible_function
from execd.reports.options import View
from execd.reports.tables import table

if TYPE_CHECKING:
    from execd.model.fold import FunctionKey, FunctionRow
    from execd.model.profile import Header, Profile
    from execd.reports.options import ReportOptions


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
    session = f", session {visible(header.session)}" if header.session else ""
    lost = ", ".join(f"{visible(reason)}: {count}" for reason, count in header.lost.items() if count)
    profile = f", profile {visible(header.profile)}" if header.profile else ""
    caveats = [f"Caveat: {visible(caveat)}" for caveat in header.caveats]
    if header.form == IMPORTED:
        file = f"File: {command_line(header)}, {span(header)}{profile}"
        return [file, f"Collector: {visible(header.collector)}", *caveats]
    return [
        f"Target: {command_line(header)}",
        f"Process: {header.pid}, Python {visible(header.python_version) or 'of unknown version'}",
        f"Collector: {visible(header.collector)}, {visible(header.form)} form{session}",
        f"Span: {span(header)}{profile}",
        f"Lost: {lost or 'nothing'}",
        *caveats,
    ]
