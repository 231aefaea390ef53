"""Who called whom, in the layout of `trace --trackcalls`."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from execd.model.change import Kind, of_one_session
from execd.model.lines.change import came_and_went
from execd.model.lines.ignore import ignore
from execd.model.lines.names import named
from execd.model.profile import ROOT
from execd.reports.comparison import compared_with
from execd.reports.document import encoded, head
from execd.reports.escape import visible
from execd.reports.functions import Named, function_json
from execd.reports.header import header_lines
from execd.reports.lines.settings import line_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions

# Caller, callee.
Pair = tuple[Named, Named]


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the report as UTF-8 text. Raises UsageError where a setting does not fit."""
    found = pairs(profile, options)
    lines = ["calling relationships:", *_layout(found)] if found else ["   (no calls)"]
    return "\n".join([*header_lines(profile.header, options.layout), *lines, ""]).encode()


def render_change(earlier: Profile, later: Profile, options: ReportOptions) -> bytes:
    """Return the pairs that came, and of another session those that are missing, as UTF-8 text."""
    changes = _changes(earlier, later, options)
    lines = header_lines(later.header, options.layout, [compared_with(earlier.header, "calls that were not made then")])
    for kind in (Kind.NEW, Kind.GONE):
        of_kind = [pair for one, pair in changes if one is kind]
        lines += [f"{kind.value} calling relationships:", *_layout(of_kind), ""] if of_kind else []
    return "\n".join(lines if changes else [*lines, "   (no calls)", ""]).encode()


def render_json(profile: Profile, options: ReportOptions) -> bytes:
    """Return the report as JSON: schema, report "callers", profile, calls: caller, callee and how often each."""
    calls = [{**_pair_json(pair), "calls": count} for pair, count in sorted(pairs(profile, options).items())]
    return encoded({**head("callers", profile.header), "calls": calls})


def render_json_change(earlier: Profile, later: Profile, options: ReportOptions) -> bytes:
    """Return the comparison as JSON: report "callers_change", earlier, changes: kind, caller and callee each."""
    changes = [{"kind": kind.value, **_pair_json(pair)} for kind, pair in _changes(earlier, later, options)]
    return encoded({**head("callers", later.header, earlier.header), "changes": changes})


def pairs(profile: Profile, options: ReportOptions) -> dict[Pair, int]:
    """Return how often who called whom, in the order of `trace`; a thread's first function was called by nobody.

    Raises:
        UsageError: a setting does not fit.
    """
    settings = line_settings(options.settings)
    left_out = ignore(profile, settings.ignore_modules, settings.ignore_dirs)
    calls = profile.column("calls")
    found: defaultdict[Pair, int] = defaultdict(int)
    for node, parent in enumerate(profile.parents):
        if parent != ROOT and calls[node]:
            caller, callee = (named(profile.functions[profile.function_of(one)]) for one in (parent, node))
            if not left_out.covers(callee[0]):
                found[caller, callee] += calls[node]
    return {pair: found[pair] for pair in sorted(found)}


def _layout(found: Iterable[Pair]) -> list[str]:
    lines = []
    last_caller_file = last_callee_file = ""
    for (file, module, name), (callee_file, callee_module, callee_name) in found:
        if file != last_caller_file:
            lines += ["", f"*** {visible(file)} ***"]
            last_caller_file, last_callee_file = file, ""
        if callee_file not in (file, last_callee_file):
            lines.append(f"  --> {visible(callee_file)}")
            last_callee_file = callee_file
        called = f"{visible(callee_module)}.{visible(callee_name)}"
        lines.append(f"    {visible(module)}.{visible(name)} -> {called}")
    return lines


def _pair_json(pair: Pair) -> dict[str, Any]:
    return dict(zip(("caller", "callee"), map(function_json, pair), strict=True))


def _changes(earlier: Profile, later: Profile, options: ReportOptions) -> list[tuple[Kind, Pair]]:
    of_one = of_one_session(earlier.header, later.header)
    return came_and_went(pairs(earlier, options), pairs(later, options), of_one_session=of_one)
