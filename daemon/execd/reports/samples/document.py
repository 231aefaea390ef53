"""The JSON report of samples.

Schema 1. Beside what every report has:

    view        "wall", "cpu" or "gil"; "" of samples that do not tell what their threads were at
    by          "function", "line" or "file"
    measures    the figures in which there is something: samples, wall_ns, cpu_ns, and of samples that execd took the
                states running_with_gil, running_without, waiting_with_gil, waiting_for_gil, waiting
    totals      the sum of each
    states      of all samples, whatever the view: how many there are of each state; {} of those that do not tell
    waits       of all samples: how many were in which system call
    functions   each: file ("" where it is not known, "~" of what is no code of Python's), line (0 where it is not
                known), name, and as objects by measure self and total; with callers or callees a list of that name:
                file, line, name, self, total along that edge
    threads     where a table for each is asked for, instead of totals, states, waits and functions; each with these
                and thread_id, thread_name, pid

With by "line" and "file" functions are lines and files. A system call is its caller's. What execd says of a recording
itself is in profile.extra and profile.lost.

A change has instead of measures, states, waits and functions:

    measure     what is compared: earlier, later
    totals      the sum of it: earlier, later
    states      earlier, later, each as above
    changes     each: kind ("new", "gone", "more", "less"), file, line, name; earlier and later: self, total,
                self_share, total_share; delta: self_share, total_share, self_error (its standard error)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from execd.model.samples import NONE, amounts, edges, figures, fold, turned
from execd.model.views import View, has_states, states_of, waits, without_system_calls
from execd.reports.document import encoded, head
from execd.reports.options import View as Tables
from execd.reports.samples.asked import asked_by, of_threads, seen
from execd.reports.samples.order import TOTAL, chosen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execd.model.fold import FunctionKey
    from execd.model.profile import Profile
    from execd.model.samples import Amount
    from execd.reports.options import ReportOptions
    from execd.reports.samples.asked import Seen


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the report as a JSON document. Raises UsageError where an option does not fit."""
    return _document(profile, options, seen(profile, options))


def render_whole(profile: Profile, options: ReportOptions) -> bytes:
    """Return the report of all samples where no view is asked for. Raises UsageError where an option does not fit."""
    return _document(profile, options, seen(profile, options, View.WALL if has_states(profile) else None))


def place_json(place: FunctionKey) -> dict[str, Any]:
    """Return what a place is called."""
    return dict(zip(("file", "line", "name"), place, strict=True))


def _document(profile: Profile, options: ReportOptions, found: Seen) -> bytes:
    document = head("samples", profile.header)
    document |= {"view": found.view.value if found.view else "", "by": asked_by(options).value}
    document["measures"] = list(figures(found.profile))
    if not options.per_thread:
        return encoded(document | _tables(found, options))
    document["threads"] = [
        {"thread_id": label.thread_id, "thread_name": label.thread_name, "pid": label.pid} | _tables(of_thread, options)
        for label, of_thread in of_threads(found).items()
    ]
    return encoded(document)


def _tables(found: Seen, options: ReportOptions) -> dict[str, Any]:
    folded = fold(without_system_calls(found.profile), asked_by(options))
    rows = {measure: amounts(folded, measure) for measure in figures(found.profile)}
    leading = next(iter(rows.values()))
    others = {measure: _others(edges(folded, measure), options) for measure in rows} if _has_edges(options) else {}
    return {
        "totals": {measure: sum(one.own for one in of_places.values()) for measure, of_places in rows.items()},
        "states": states_of(found.whole),
        "waits": waits(found.whole),
        "functions": [
            _place(place, {measure: of_places.get(place, NONE) for measure, of_places in rows.items()})
            | ({options.view.value: _along(place, others)} if others else {})
            for place in chosen(leading, options, TOTAL[0])
        ],
    }


def _has_edges(options: ReportOptions) -> bool:
    return options.view is not Tables.FUNCTIONS


def _others(
    callers: Mapping[FunctionKey, Mapping[FunctionKey, Amount]], options: ReportOptions
) -> Mapping[FunctionKey, Mapping[FunctionKey, Amount]]:
    return turned(callers) if options.view is Tables.CALLEES else callers


def _along(
    place: FunctionKey, others: Mapping[str, Mapping[FunctionKey, Mapping[FunctionKey, Amount]]]
) -> list[dict[str, Any]]:
    found = next(iter(others.values()))[place]
    return [
        _place(other, {measure: of_places[place].get(other, NONE) for measure, of_places in others.items()})
        for other in sorted(found)
    ]


def _place(place: FunctionKey, amounts_of: Mapping[str, Amount]) -> dict[str, Any]:
    return place_json(place) | {
        "self": {measure: one.own for measure, one in amounts_of.items()},
        "total": {measure: one.total for measure, one in amounts_of.items()},
    }
