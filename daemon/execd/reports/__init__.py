"""Reports: pure functions from a profile to bytes. `render` is the way in, FORMATS the table of what there is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.model import bias
from execd.model.change import of_one_session
from execd.model.collector import CALLS
from execd.model.filter import by_thread, is_thread, threads, where
from execd.model.merge import merge
from execd.reports import (
    callers,
    census,
    collapsed,
    comparison,
    document,
    functions,
    pprof,
    processes,
    pstats_text,
    stats,
    text,
    whole,
)
from execd.reports.lines import cobertura, cover, coverage_data, lcov, listing, summary, trace_counts
from execd.reports.lines import comparison as lines_comparison
from execd.reports.lines import document as lines_document
from execd.reports.lines import text as lines_text
from execd.reports.memory import comparison as memory_comparison
from execd.reports.memory import document as memory_document
from execd.reports.memory import pprof as memory_pprof
from execd.reports.memory import stacks as memory_stacks
from execd.reports.memory import text as memory
from execd.reports.memory import tracemalloc_file
from execd.reports.options import ReportOptions, View
from execd.reports.samples import asked as samples_asked
from execd.reports.samples import comparison as samples_comparison
from execd.reports.samples import document as samples_document
from execd.reports.samples import exports as samples_exports
from execd.reports.samples import speedscope
from execd.reports.samples import text as samples_text
from execd.reports.trace import document as trace_document
from execd.reports.trace import text as trace_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from execd.model.profile import Profile

__all__ = ["FORMATS", "SETTINGS", "Renderer", "ReportOptions", "View", "check_settings", "render", "render_files"]


@dataclass(frozen=True, slots=True)
class Renderer:
    """How a format is made.

    Attributes:
        render: makes it of one profile.
        compare: makes it of an earlier and a later one; None where the format holds no comparison.
        has_tables: whether sort, reverse, limits, view and per_thread mean something for it.
        files: makes several files of it, each with its name below the directory that the user chooses; None where it
            is one.
        of_several: makes it of several profiles that are added up; None where they are merged before.
        settings: the keys of ReportOptions.settings that it alone knows.
        is_corrected: whether what recording cost is taken off its times where nothing is said of it; see bias.py.
    """

    render: Callable[[Profile, ReportOptions], bytes]
    compare: Callable[[Profile, Profile, ReportOptions], bytes] | None = None
    has_tables: bool = False
    files: Callable[[Profile, ReportOptions], Iterator[tuple[str, bytes]]] | None = None
    of_several: Callable[[Sequence[Profile], ReportOptions], bytes] | None = None
    settings: frozenset[str] = frozenset()
    is_corrected: bool = False


_CALLS: Mapping[str, Renderer] = {
    "text": Renderer(text.render, comparison.render, has_tables=True, is_corrected=True),
    "json": Renderer(document.render, document.render_change, has_tables=True, is_corrected=True),
    "pstats": Renderer(stats.render),
    "pstats-text": Renderer(
        pstats_text.render, has_tables=True, of_several=pstats_text.render_all, settings=pstats_text.SETTINGS
    ),
    "pprof": Renderer(pprof.render),
    "collapsed": Renderer(collapsed.render),
    whole.FORMAT: Renderer(whole.calls, is_corrected=True),
}
_LINES: Mapping[str, Renderer] = {
    "text": Renderer(lines_text.render, lines_comparison.render),
    "json": Renderer(lines_document.render, lines_document.render_change),
    "summary": Renderer(summary.render),
    "source": Renderer(listing.render),
    "cover": Renderer(cover.render, files=cover.render_files),
    "lcov": Renderer(lcov.render),
    "cobertura": Renderer(cobertura.render),
    "coverage": Renderer(coverage_data.render),
    "trace-counts": Renderer(trace_counts.render),
    whole.FORMAT: Renderer(lines_document.render),
}
_FUNCTIONS: Mapping[str, Renderer] = {
    "text": Renderer(functions.render, functions.render_change),
    "json": Renderer(functions.render_json, functions.render_json_change),
    whole.FORMAT: Renderer(functions.render_json),
    "trace-counts": Renderer(trace_counts.render),
}
_CALLERS: Mapping[str, Renderer] = {
    "text": Renderer(callers.render, callers.render_change),
    "json": Renderer(callers.render_json, callers.render_json_change),
    whole.FORMAT: Renderer(callers.render_json),
    "trace-counts": Renderer(trace_counts.render),
}
_MEMORY: Mapping[str, Renderer] = {
    "text": Renderer(memory.render, memory_comparison.render, has_tables=True),
    "json": Renderer(memory_document.render, memory_document.render_change, has_tables=True),
    "tracemalloc": Renderer(tracemalloc_file.render),
    "pprof": Renderer(memory_pprof.render),
    "collapsed": Renderer(memory_stacks.render),
    whole.FORMAT: Renderer(whole.memory),
}
_CENSUS: Mapping[str, Renderer] = {
    "text": Renderer(census.render, census.compare, has_tables=True),
    "json": Renderer(census.document, census.document_of_change, has_tables=True),
    whole.FORMAT: Renderer(census.document),
}
_SAMPLES: Mapping[str, Renderer] = {
    "text": Renderer(samples_text.render, samples_comparison.render, has_tables=True),
    "json": Renderer(samples_document.render, samples_comparison.render_json, has_tables=True),
    "pprof": Renderer(samples_exports.pprof),
    "collapsed": Renderer(samples_exports.collapsed),
    "speedscope": Renderer(speedscope.render),
    whole.FORMAT: Renderer(samples_document.render_whole),
}
# By collector, then by format; "text" is what is shown where nothing is asked for.
FORMATS: Mapping[str, Mapping[str, Renderer]] = {
    "calls": _CALLS,
    "lines": _LINES,
    "cover": _LINES,
    "functions": _FUNCTIONS,
    "callers": _CALLERS,
    "memory": _MEMORY,
    "census": _CENSUS,
    "samples": _SAMPLES,
    "trace": {
        "text": Renderer(trace_text.render),
        "json": Renderer(trace_document.render),
        whole.FORMAT: Renderer(trace_document.render),
    },
}

# What people read, beside JSON; the others are for other tools, and the whole of a profile for the Python API.
_SHOWN = frozenset({"text", "json", "pstats-text", "summary", "source", "cover"})
_OF_CODE = frozenset({"ignore_modules", "ignore_dirs"})
# "beside" turns the names of several files into absolute paths: that of each one's source, with its own suffix.
_OF_LINES = _OF_CODE | {"missing", "flat", "file", "beside"}
_OF_MEMORY = frozenset(
    {"by", "cumulative", "include", "exclude", "all_frames", "domain", "frames", "most_recent_first"}
)
_OPTIONS = {
    "ignore_modules": "ignore-module",
    "ignore_dirs": "ignore-dir",
    "beside": "coverdir",
    "last_s": "last",
    "from_s": "between",
    "to_s": "between",
}
# What is known in ReportOptions.settings, by collector; the values are for the reports that use them to judge.
SETTINGS: Mapping[str, frozenset[str]] = {
    CALLS.name: frozenset({"bias"}),
    "lines": _OF_LINES,
    "cover": _OF_LINES,
    "functions": _OF_CODE,
    "callers": _OF_CODE,
    "memory": _OF_MEMORY,
    "samples": samples_asked.SETTINGS,
    "trace": frozenset({"timing"}),
}


def render(
    profile: Profile,
    format: str,  # noqa: A002 - what every other layer calls it
    options: ReportOptions,
    earlier: Profile | None = None,
    parts: Sequence[Profile] = (),
    earlier_parts: Sequence[Profile] = (),
) -> bytes:
    """Return a report or an export.

    Args:
        profile: what to report.
        format: a key of FORMATS of its collector.
        options: how.
        earlier: a profile to compare with; the report is then of what differs.
        parts: what the profile is the sum of; empty where it is no sum.
        earlier_parts: what the earlier one is the sum of.

    Raises:
        UsageError: the format is unknown or not one of this collector, an option does not fit it or does not parse, or
            there is no such thread.
    """
    renderer = _renderer(profile, format, options.settings)
    check_settings(profile.header.collector, options.settings, renderer.settings)
    if not renderer.has_tables:
        _refuse_table_options(profile.header.collector, format, options)
    profile = samples_asked.of_time(profile, options.settings)
    parts = samples_asked.parts_of_time(parts, profile, options.settings)
    narrowed = by_thread(profile, options.thread) if options.thread else profile
    shown = [_corrected(renderer, options, part) for part in _of_thread(parts, options.thread)]
    if earlier is None and options.per_process:
        return processes.render_each(processes.with_processes(narrowed, shown), format, options, shown, renderer.render)
    if earlier is None and renderer.of_several and shown:
        return renderer.of_several(shown, options)
    if earlier is None:
        whole = processes.with_processes(_summed(renderer, options, narrowed, shown), shown)
        return renderer.render(whole, options)
    compare = _comparing(renderer, format, options, earlier, profile)
    earlier = samples_asked.of_time(earlier, options.settings)
    earlier_parts = samples_asked.parts_of_time(earlier_parts, earlier, options.settings)
    if options.thread:
        # The thread may have started after the earlier profile was taken; then it has nothing there.
        earlier = where(earlier, lambda label: is_thread(label, options.thread))
    later = parts or [profile]
    before = [_corrected(renderer, options, part, _price(part, later)) for part in earlier_parts]
    price = _price(earlier, later)
    earlier = _summed(renderer, options, earlier, _of_thread(before, options.thread), price)
    return compare(earlier, _summed(renderer, options, narrowed, shown), options)


def render_files(
    profile: Profile,
    format: str,  # noqa: A002 - what every other layer calls it
    options: ReportOptions,
) -> Iterator[tuple[str, bytes]]:
    """Return a report of several files: each one's name, a relative path, and its content.

    With the setting "beside" the names are absolute, as the target has them.

    Raises:
        UsageError: the format is unknown, not one of this collector, or one file, an option does not fit it, or there
            is no such thread.
    """
    renderer = _renderer(profile, format, options.settings)
    check_settings(profile.header.collector, options.settings, renderer.settings)
    if renderer.files is None:
        raise UsageError(f"the format {format} is one file", remedy="write it with --output FILE", format=ascii(format))
    return renderer.files(by_thread(profile, options.thread) if options.thread else profile, options)


def check_settings(collector: str, settings: Mapping[str, object], more: frozenset[str] = frozenset()) -> None:
    """Refuse what no report of a collector knows.

    Args:
        collector: of the profile.
        settings: what is asked.
        more: what this report alone knows.

    Raises:
        UsageError: names what does not fit, as options of a command are called, and what would.
    """
    known = SETTINGS.get(collector, frozenset()) | more
    unknown = sorted(settings.keys() - known)
    if unknown:
        fitting = ", ".join(sorted(set(map(_option, known))))
        raise UsageError(
            f"{', '.join(dict.fromkeys(map(_option, unknown)))} does not fit profiles of {collector}",
            remedy=f"leave it out; what fits: {fitting}" if known else "leave it out",
            collector=collector,
        )


def _of_thread(parts: Sequence[Profile], thread: str) -> list[Profile]:
    """Return the parts that a thread has something in, narrowed to it; "" for all as they are."""
    if not thread:
        return list(parts)
    return [by_thread(one, thread) for one in parts if any(is_thread(label, thread) for label in threads(one))]


def _option(key: str) -> str:
    """Return what the option of a command is called that sets a key."""
    return _OPTIONS.get(key, key.replace("_", "-"))


def _renderer(profile: Profile, format_name: str, settings: Mapping[str, object]) -> Renderer:
    collector = profile.header.collector
    formats = FORMATS.get(collector, {})
    renderer = formats.get(format_name)
    if renderer is None:
        # An option may have chosen the format, as --file does: it is what was asked.
        check_settings(collector, settings)
        is_known = any(format_name in others for others in FORMATS.values())
        raise UsageError(
            f"profiles of {collector} have no format {format_name}" if is_known else f"no format {format_name!r}",
            remedy=_choice(list(formats)),
            format=ascii(format_name),
            collector=collector,
        )
    return renderer


def _comparing(
    renderer: Renderer, format_name: str, options: ReportOptions, earlier: Profile, later: Profile
) -> Callable[[Profile, Profile, ReportOptions], bytes]:
    """Return what makes a comparison. Raises UsageError where there is none, or an option does not fit one."""
    collector = later.header.collector
    if renderer.compare is None:
        others = [name for name, one in FORMATS[collector].items() if one.compare]
        raise UsageError(
            f"the format {format_name} of {collector} holds no comparison",
            remedy=f"compare as {' or '.join(others)}" if others else f"profiles of {collector} do not compare",
            format=format_name,
        )
    if options.view is not View.FUNCTIONS or options.per_thread or options.per_process:
        raise UsageError(
            "a comparison is by function",
            remedy="leave out callers, callees, per-thread and per-process",
            format=format_name,
        )
    if earlier.header.collector != collector:
        raise UsageError(
            f"a profile of {collector} does not compare with one of {earlier.header.collector}",
            remedy="compare profiles of one collector",
        )
    return renderer.compare


def _price(earlier: Profile, later: Iterable[Profile]) -> Profile:
    """Return the profile that says what an event of an earlier one cost.

    Of one session the later one knows better: by two prices a function would seem to run back.
    """
    return next((one for one in later if of_one_session(earlier.header, one.header)), earlier)


def _corrected(renderer: Renderer, options: ReportOptions, profile: Profile, price: Profile | None = None) -> Profile:
    """Return a call tree as a format shows it, by what another one says that events cost; every other as it is."""
    asked = options.settings.get("bias")
    if profile.header.collector != CALLS.name or (asked is None and not renderer.is_corrected):
        return profile
    return bias.corrected(profile, bias.chosen((price or profile).header, asked), price)


def _summed(
    renderer: Renderer,
    options: ReportOptions,
    profile: Profile,
    parts: Sequence[Profile],
    price: Profile | None = None,
) -> Profile:
    """Return what a format shows of a profile: of a sum of call trees the sum of what is shown of each.

    Their events cost something else each, and no part loses more than it has: a sum that is corrected as a whole is
    another one.
    """
    if not any(bias.correction_of(part.header) for part in parts):
        return _corrected(renderer, options, profile, price)
    return replace(merge(parts), header=bias.with_correction_of_parts(profile.header, parts))


def _choice(formats: Sequence[str]) -> str:
    """Return which of the formats of a collector can be asked for."""
    shown = ", ".join(name for name in formats if name in _SHOWN)
    exports = ", ".join(name for name in formats if name not in _SHOWN and name != whole.FORMAT)
    told = f"`execctl report` shows {shown}" if shown else "see: execctl report --help"
    return f"{told}; `execctl export` writes {exports}" if exports else told


def _refuse_table_options(collector: str, format_name: str, options: ReportOptions) -> None:
    given = {
        "sort": options.sort,
        "reverse": options.reverse,
        "limit": options.limits,
        options.view.value: options.view is not View.FUNCTIONS,
        "per-thread": options.per_thread,
    }
    refused = [name for name, value in given.items() if value]
    if refused:
        others = " or ".join(name for name, one in FORMATS[collector].items() if one.has_tables)
        raise UsageError(
            f"{', '.join(refused)} does not fit the format {format_name} of {collector}, which holds everything",
            remedy=f"leave it out, or choose {others}" if others else "leave it out",
            format=format_name,
        )
