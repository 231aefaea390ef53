"""The text report of samples: a line a place, what it has itself and what with all that it called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from execd.model.filter import threads
from execd.model.samples import By, amounts, edges, fold, measures, turned
from execd.model.views import states_of, waits, without_system_calls
from execd.reports.figures import number_of, part, time_text
from execd.reports.header import header_lines, summary_lines
from execd.reports.names import thread_title
from execd.reports.next_commands import callers_of, closing
from execd.reports.options import View as Tables
from execd.reports.samples.asked import asked_by, of_threads, seen
from execd.reports.samples.names import CLOCKS, VIEWS, PlaceNames
from execd.reports.samples.order import OWN, chosen
from execd.reports.samples.recorded import recording_facts
from execd.reports.samples.tables import Rows, edge_table, place_table
from execd.reports.selection import ROWS_SHOWN, top

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from execd.model.fold import FunctionKey
    from execd.model.profile import Profile
    from execd.model.samples import Fold
    from execd.reports.options import ReportOptions
    from execd.reports.samples.asked import Seen

_EDGES_SHOWN: Final = 20
_CALLS_TOLD: Final = 5


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the report as UTF-8 text. Raises UsageError where an option does not fit."""
    found = seen(profile, options)
    lines = header_lines(profile.header, options.layout, recording_facts(profile))
    shown: list[FunctionKey] = []
    if not options.per_thread:
        lines += _tables(found, options, shown)
    for label, of_thread in of_threads(found).items() if options.per_thread else ():
        lines += [thread_title(label), "", *_tables(of_thread, options, shown), ""]
    is_plain = options.view is Tables.FUNCTIONS and asked_by(options) is By.FUNCTION
    lines += closing(options.layout, callers_of(profile, shown) if is_plain else "")
    return "\n".join([*lines, ""]).encode()


def states_text(states: Mapping[str, int]) -> str:
    """Return what threads were at, by how many samples there are of each state."""
    whole = sum(states.values())
    running = states["running_with_gil"] + states["running_without"]
    waiting = states["waiting"] + states["waiting_with_gil"]

    def share(count: int) -> str:
        return f"{part(count, whole):.1%}"

    holding = f", of it with the GIL {share(states['waiting_with_gil'])}" if states["waiting_with_gil"] else ""
    return (
        f"running {share(running)}, of it with the GIL {share(states['running_with_gil'])};"
        f" waiting for the GIL {share(states['waiting_for_gil'])}; waiting {share(waiting)}{holding}"
    )


def _tables(found: Seen, options: ReportOptions, shown: list[FunctionKey]) -> list[str]:
    """Return the summary and the table of samples, and note the places that it shows."""
    by, profile = asked_by(options), without_system_calls(found.profile)
    folded = fold(profile, by)
    rows = _rows(folded, found, by)
    kept, rest = top(
        chosen(rows.leading, options, OWN[0]),
        options,
        ROWS_SHOWN if options.view is Tables.FUNCTIONS else _EDGES_SHOWN,
    )
    shown += kept
    lines = summary_lines(_summary(found, rows), options.layout)
    if not kept:
        return [*lines, f"   (no {by.value}s)"]
    if options.view is Tables.FUNCTIONS:
        return [*lines, *place_table(rows, kept, options), *rest]
    return [*lines, *_edges(folded, rows, kept, options), *rest]


def _rows(folded: Fold, found: Seen, by: By) -> Rows:
    # Of samples that the daemon took both measures are one: how many there are, and for how long they stand.
    columns = ("samples", "wall_ns") if found.view else measures(folded.profile)
    names = PlaceNames([folded.profile], by)
    return Rows({one: amounts(folded, one) for one in columns}, names, found.view.value if found.view else "")


def _edges(folded: Fold, rows: Rows, kept: Sequence[FunctionKey], options: ReportOptions) -> list[str]:
    measure = "wall_ns" if rows.clock else next(iter(rows.found))
    others = edges(folded, measure)
    if options.view is Tables.CALLEES:
        others = turned(others)
    of_measure = Rows({measure: rows.found[measure]}, rows.names, rows.clock)
    return edge_table(of_measure, kept, others, options)


def _summary(found: Seen, rows: Rows) -> list[str]:
    sums = {measure: sum(one.own for one in amounts.values()) for measure, amounts in rows.found.items()}
    places = number_of(len(rows.leading), rows.names.by.value)
    if found.view is None:
        return [f"{', '.join(_sum(measure, total) for measure, total in sums.items())} in {places}"]
    ran = len(threads(found.profile))
    where_ran = f" in {ran} threads" if ran > 1 else ""
    samples, time = number_of(sums["samples"], "sample"), time_text(sums["wall_ns"])
    whole = sum(found.whole.column("samples"))
    calls = list(waits(found.whole).items())[:_CALLS_TOLD]
    waited = ", ".join(f"{name} {part(count, whole):.1%}" for name, count in calls)
    return [
        f"View {found.view.value}, {VIEWS[found.view]}: {samples} of {places}, {time}{where_ran}",
        *([f"Of all {number_of(whole, 'sample')}: {states_text(states_of(found.whole))}"] if whole else []),
        *([f"System calls: {waited}"] if waited else []),
    ]


def _sum(measure: str, total: int) -> str:
    return f"{time_text(total)} {CLOCKS[measure]}" if measure in CLOCKS else f"{total:,} {measure}"
