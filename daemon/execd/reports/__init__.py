"""Reports: pure functions from a profile to bytes. `render` is the way in, FORMATS the table of what there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.model.filter import by_thread, is_thread, where
from execd.reports import collapsed, comparison, document, pprof, stats, text
from execd.reports.options import ReportOptions, View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from execd.model.profile import Profile

__all__ = ["FORMATS", "Renderer", "ReportOptions", "View", "render", "render_files"]


@dataclass(frozen=True, slots=True)
class Renderer:
    """How a format is made.

    Attributes:
        render: makes it of one profile.
        compare: makes it of an earlier and a later one; None where the format holds no comparison.
        has_tables: whether sort, reverse, limits, view and per_thread mean something for it.
        files: makes several files of it, each with its name below the directory that the user chooses; None where it
            is one.
    """

    render: Callable[[Profile, ReportOptions], bytes]
    compare: Callable[[Profile, Profile, ReportOptions], bytes] | None = None
    has_tables: bool = False
    files: Callable[[Profile, ReportOptions], Iterator[tuple[str, bytes]]] | None = None


_CALLS: Mapping[str, Renderer] = {
    "text": Renderer(text.render, comparison.render, has_tables=True),
    "json": Renderer(document.render, document.render_change, has_tables=True),
    "pstats": Renderer(stats.render),
    "pprof": Renderer(pprof.render),
    "collapsed": Renderer(collapsed.render),
}
# By collector, then by format; "text" is what is shown where nothing is asked for.
FORMATS: Mapping[str, Mapping[str, Renderer]] = {"calls": _CALLS}


def render(
    profile: Profile,
    format: str,  # noqa: A002 - what every other layer calls it
    options: ReportOptions,
    earlier: Profile | None = None,
) -> bytes:
    """Return a report or an export.

    Args:
        profile: what to report.
        format: a key of FORMATS of its collector.
        options: how.
        earlier: a profile to compare with; the report is then of what differs.

    Raises:
        UsageError: the format is unknown or not one of this collector, an option does not fit it or does not parse, or
            there is no such thread.
    """
    renderer = _renderer(profile, format)
    if not renderer.has_tables:
        _refuse_table_options(format, options)
    narrowed = by_thread(profile, options.thread) if options.thread else profile
    if earlier is None:
        return renderer.render(narrowed, options)
    return _compared(renderer, format, options, earlier, narrowed)


def render_files(
    profile: Profile,
    format: str,  # noqa: A002 - what every other layer calls it
    options: ReportOptions,
) -> Iterator[tuple[str, bytes]]:
    """Return a report of several files: each one's name, a relative path, and its content.

    Raises:
        UsageError: the format is unknown, not one of this collector, or one file.
    """
    renderer = _renderer(profile, format)
    if renderer.files is None:
        raise UsageError(f"the format {format} is one file", remedy="write it with --output FILE", format=ascii(format))
    return renderer.files(profile, options)


def _renderer(profile: Profile, format_name: str) -> Renderer:
    collector = profile.header.collector
    formats = FORMATS.get(collector, {})
    renderer = formats.get(format_name)
    if renderer is None:
        is_known = any(format_name in others for others in FORMATS.values())
        raise UsageError(
            f"profiles of {collector} have no format {format_name}" if is_known else f"no format {format_name!r}",
            remedy=f"choose from: {', '.join(formats)}",
            format=ascii(format_name),
            collector=collector,
        )
    return renderer


def _compared(renderer: Renderer, format_name: str, options: ReportOptions, earlier: Profile, later: Profile) -> bytes:
    if renderer.compare is None:
        raise UsageError(
            f"the format {format_name} holds no comparison",
            remedy="compare as text or json",
            format=format_name,
        )
    if options.view is not View.FUNCTIONS or options.per_thread:
        raise UsageError(
            "a comparison is by function",
            remedy="leave out callers, callees and per-thread",
            format=format_name,
        )
    if earlier.header.collector != later.header.collector:
        raise UsageError(
            f"a profile of {later.header.collector} does not compare with one of {earlier.header.collector}",
            remedy="compare profiles of one collector",
        )
    if options.thread:
        # The thread may have started after the earlier profile was taken; then it has nothing there.
        earlier = where(earlier, lambda label: is_thread(label, options.thread))
    return renderer.compare(earlier, later, options)


def _refuse_table_options(format_name: str, options: ReportOptions) -> None:
    given = {
        "sort": options.sort,
        "reverse": options.reverse,
        "limit": options.limits,
        options.view.value: options.view is not View.FUNCTIONS,
        "per-thread": options.per_thread,
    }
    refused = [name for name, value in given.items() if value]
    if refused:
        raise UsageError(
            f"{', '.join(refused)} does not fit the format {format_name}, which holds everything",
            remedy="leave it out, or choose text or json",
            format=format_name,
        )
