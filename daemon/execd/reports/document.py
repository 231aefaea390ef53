r"""The JSON report.

Schema 1, an object in ASCII with these fields:

    schema      1
    report      "functions" or "functions_change"
    profile     what is reported: id (empty where it is not stored), collector, form, session, pid, command_line,
                python_version, started_at and ended_at (seconds since the epoch), options, lost, caveats, extra
    totals      figures of all functions; total_ns is the sum of the self times
    functions   in the order of the report, each:
                file ("~" for a C function), line (0 for a C function), name,
                calls, primitive_calls, open, self_ns, total_ns,
                and in the views callers and callees a list of that name: file, line, name, calls,
                primitive_calls, open, self_ns, total_ns, the callee's figures under this caller
    threads     instead of totals and functions, where a table for each thread is asked for; each:
                thread_id, thread_name, pid, totals, functions

The report of a tree of processes, whatever its collector, has further

    tree        its root: session, snapshot (the root's, where it is of that time; else ""), pid, command_line,
                python_version
    processes   those that are in it, each: pid, command_line, python_version, session, profile, started_at, ended_at,
                caveats, lost, figures (of calls: self_ns and calls; else those of the collector), and where a report
                of each is asked for the fields that the report would have: totals and functions, which the whole then
                does not have

A change has instead of totals and functions:

    earlier     the header of the earlier profile
    per_second  whether the amounts are per second; else they are plain figures, of one session or of files
    changes     each: kind ("new", "gone", "more", "less"), file, line, name, and as objects with calls,
                primitive_calls, self_ns, total_ns: earlier, later, and delta, later minus earlier

Times are in ns. Lone surrogates, which valid JSON cannot hold, appear as the six characters \uNNNN.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from execd.model.change import compare
from execd.model.codec_head import header_json
from execd.model.filter import threads, where
from execd.model.fold import by_function, callees, strip_dirs, totals
from execd.reports.escape import valid
from execd.reports.options import View
from execd.reports.selection import select

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execd.model.change import Change
    from execd.model.fold import Figures, FunctionKey, FunctionRow
    from execd.model.processtree import ProcessTree, TreeProcess
    from execd.model.profile import Header, Profile
    from execd.reports.options import ReportOptions

SCHEMA = 1
_OF_PROCESS = (
    "pid",
    "command_line",
    "python_version",
    "session",
    "profile",
    "started_at",
    "ended_at",
    "caveats",
)


def head(report: str, header: Header, earlier: Header | None = None) -> dict[str, Any]:
    """Return what every JSON report begins with.

    Args:
        report: its name; that of a comparison is made of it.
        header: of the profile, of a comparison the later one.
        earlier: of the one that it is compared with.
    """
    begun = {"schema": SCHEMA, "report": report if earlier is None else f"{report}_change"}
    begun["profile"] = origin_json(header)
    if header.tree:
        begun |= _tree(header.tree)
    return begun if earlier is None else {**begun, "earlier": origin_json(earlier)}


def origin_json(header: Header) -> dict[str, Any]:
    """Return where a profile comes from, as every JSON report has it under "profile"."""
    return {"id": header.profile, **header_json(header)}


def _tree(tree: ProcessTree) -> dict[str, Any]:
    root = {name: getattr(tree, name) for name in ("session", "snapshot", "pid", "command_line", "python_version")}
    return {"tree": root, "processes": [_process(one) for one in tree.processes]}


def _process(one: TreeProcess) -> dict[str, Any]:
    header = one.header
    facts = {name: getattr(header, name) for name in _OF_PROCESS}
    return {**facts, "lost": dict(header.lost), "figures": dict(one.figures)}


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the report as a JSON document.

    Raises:
        UsageError: a sort key or limit that does not parse.
    """
    document = head("functions", profile.header)
    if options.per_thread:
        document["threads"] = [
            {"thread_id": label.thread_id, "thread_name": label.thread_name, "pid": label.pid}
            | _functions(where(profile, label.__eq__), options)
            for label in threads(profile)
        ]
    else:
        document |= _functions(profile, options)
    return encoded(document)


def render_change(earlier: Profile, later: Profile, options: ReportOptions) -> bytes:
    """Return the comparison as a JSON document.

    Raises:
        UsageError: a sort key or limit that does not parse, or profiles that cannot be compared.
    """
    comparison = compare(earlier, later, strip_dirs if options.strip_dirs else dict)
    changes = {change.function: change for change in comparison.changes}
    selection = select({one: change.delta for one, change in changes.items()}, options, default_sort=())
    return encoded(
        {
            **head("functions", comparison.later, comparison.earlier),
            "per_second": comparison.per_second,
            "changes": [_change(changes[function]) for function in selection.functions],
        }
    )


def _functions(profile: Profile, options: ReportOptions) -> dict[str, Any]:
    rows: Mapping[FunctionKey, FunctionRow] = by_function(profile, with_callers=options.view is not View.FUNCTIONS)
    if options.strip_dirs:
        rows = strip_dirs(rows)
    selection = select({function: row.figures for function, row in rows.items()}, options)
    related = _related(rows, options.view)
    return {
        "totals": asdict(totals(rows)),
        "functions": [
            _function(function, rows[function].figures)
            | ({options.view.value: _parts(related[function])} if related else {})
            for function in selection.functions
        ],
    }


def _related(
    rows: Mapping[FunctionKey, FunctionRow], view: View
) -> Mapping[FunctionKey, Mapping[FunctionKey, Figures]]:
    match view:
        case View.FUNCTIONS:
            return {}
        case View.CALLERS:
            return {function: row.callers for function, row in rows.items()}
        case View.CALLEES:
            return callees(rows)


def _parts(parts: Mapping[FunctionKey, Figures]) -> list[dict[str, Any]]:
    return [_function(function, parts[function]) for function in sorted(parts)]


def _function(function: FunctionKey, figures: Figures) -> dict[str, Any]:
    file, line, name = function
    return {"file": file, "line": line, "name": name} | asdict(figures)


def _change(change: Change) -> dict[str, Any]:
    file, line, name = change.function
    amounts = {part: asdict(getattr(change, part)) for part in ("earlier", "later", "delta")}
    return {"kind": change.kind.value, "file": file, "line": line, "name": name} | amounts


def encoded(document: dict[str, Any]) -> bytes:
    """Return a report as it is written, whatever a target has put into its texts."""
    return (json.dumps(_valid(document), indent=2, allow_nan=False) + "\n").encode("ascii")


def _valid(value: Any) -> Any:
    match value:
        case str():
            return valid(value)
        case dict():
            return {valid(key): _valid(part) for key, part in value.items()}
        case list() | tuple():
            return [_valid(part) for part in value]
    return value
