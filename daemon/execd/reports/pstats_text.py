"""What pstats prints for the exported files of profiles, byte for byte: by pstats itself, its faults among it.

    steps    what is done to the statistics before they are sorted, in order, each a word:
             "add" (the next profile), "strip" (directories), "callees" (as if they had been printed then)
    files    the lines of the head, one for each profile; where one is empty: the end of its span and its id

Both are settings. Without steps all are added at once, as by Stats(f1, f2, ...), and stripped where the options say so.
"""

from __future__ import annotations

import io
import pstats
import time
from typing import TYPE_CHECKING, Any

from execd.errors import UsageError
from execd.reports.escape import visible
from execd.reports.options import View
from execd.reports.selection import NUMERIC_KEYS, resolve, restriction
from execd.reports.stats import statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from execd.model.profile import Header, Profile
    from execd.reports.options import ReportOptions

SETTINGS = frozenset({"steps", "files"})
_PRINT: Mapping[View, str] = {
    View.FUNCTIONS: "print_stats",
    View.CALLERS: "print_callers",
    View.CALLEES: "print_callees",
}


class _Recorded:
    """What pstats takes statistics from beside files: a profiler that has them."""

    def __init__(self, stats: dict[Any, Any]) -> None:
        self.stats = stats

    def create_stats(self) -> None:
        """Do nothing: they are there."""


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return what pstats prints for one profile; raises as `render_all` does."""
    return render_all([profile], options)


def render_all(profiles: Sequence[Profile], options: ReportOptions) -> bytes:
    """Return what pstats prints for several profiles as UTF-8 text.

    Raises:
        UsageError: one is empty, a sort key is unknown, a setting does not fit, a table a thread is asked for.
    """
    if options.per_thread:
        raise UsageError("pstats knows no threads", remedy="choose one by --thread, or the format text")
    heads = _texts(options, "files") or [""] * len(profiles)
    if len(heads) != len(profiles):
        raise UsageError(f"{len(heads)} files for {len(profiles)} profiles")
    printed = io.StringIO()
    first, *rest = (_loaded(profile, head, options, printed) for profile, head in zip(profiles, heads, strict=True))
    _prepare(first, rest, options)
    _sort(first, options)
    try:
        getattr(first, _PRINT[options.view])(*map(restriction, options.limits))
    except (RecursionError, OverflowError) as error:
        raise UsageError(f"a limit is no regular expression: {error}", remedy="write a simpler one") from None
    return printed.getvalue().encode()


def _loaded(profile: Profile, head: str, options: ReportOptions, stream: io.StringIO) -> Any:
    # Of typeshed's Stats the attributes are missing.
    stats: Any = pstats.Stats(_Recorded(statistics(profile, options.unstripped())), stream=stream)  # type: ignore[arg-type]
    stats.files = [visible(head or _head(profile.header))]
    return stats


def _head(header: Header) -> str:
    # As pstats prints the time and the name of a file.
    return f"{time.ctime(header.ended_at)}    {header.profile or header.session}"


def _prepare(first: Any, rest: list[Any], options: ReportOptions) -> None:
    steps = _texts(options, "steps")
    if "steps" not in options.settings:
        first.add(*rest)
        if options.strip_dirs:
            first.strip_dirs()
        return
    if steps.count("add") != len(rest):
        raise UsageError(f"{steps.count('add')} steps add a profile, and {len(rest)} are to be added")
    others = iter(rest)
    does: Mapping[str, Callable[[], Any]] = {
        "add": lambda: first.add(next(others)),
        "strip": first.strip_dirs,
        "callees": first.calc_callees,
    }
    for step in steps:
        if step not in does:
            raise UsageError(f"no step {step!r}", remedy=f"choose from: {', '.join(does)}")
        does[step]()


def _sort(stats: Any, options: ReportOptions) -> None:
    if options.sort:
        resolve(options.sort)
        numeric = options.sort[0] in NUMERIC_KEYS
        stats.sort_stats(*([int(options.sort[0])] if numeric else options.sort))
    if options.reverse:
        stats.reverse_order()


def _texts(options: ReportOptions, key: str) -> list[str]:
    value = options.settings.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise UsageError(f"{key} is no list of texts")
    return value
