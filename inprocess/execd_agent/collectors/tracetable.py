"""Events of a trace as the table that goes over the wire; loaded when the first are handed over."""

from __future__ import annotations

from execd_agent.collectors.table import Table
from execd_agent.collectors.tracering import ITEMS, LOST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from execd_agent.collectors.tracering import Ring

COLUMNS = ("time_ns", "kind", "lost")
LINE_KIND, CALL_KIND, LOST_KIND = 0, 1, 2


def encode_events(ring: Ring, events: list[Any], header: dict[str, Any], started_ns: int) -> bytes:
    """Return a bulk payload of events, in their order; their times count from the earliest one of them.

    Nearly all of it is done by C functions, for the target waits meanwhile. Two figures are added to `extra`: `first`,
    the number of the first event, and `base_ns`, when the earliest one was, after `started_ns`.
    """
    times, rows, threads = events[0::ITEMS], events[1::ITEMS], events[2::ITEMS]
    table = Table(COLUMNS)
    places, kinds = _places(ring, table, dict.fromkeys(rows))
    labels = _labels(table, dict.fromkeys(threads))
    base = min(times, default=started_ns)
    table.parents = [-1] * len(rows)
    table.node_locations = list(map(places.__getitem__, rows))
    table.node_labels = list(map(labels.__getitem__, threads))
    lost = [0] * len(rows)
    if LOST in places:
        lost = [count if row == LOST else 0 for row, count in zip(rows, threads)]
    figures = ([time - base for time in times], list(map(kinds.__getitem__, rows)), lost)
    table.columns = dict(zip(COLUMNS, figures))
    extra = {**header["extra"], "first": ring.first, "base_ns": base - started_ns}
    return table.encode({**header, "extra": extra})


def _places(ring: Ring, table: Table, rows: dict[int, None]) -> tuple[dict[int, int], dict[int, int]]:
    """Return the location and the kind of each row."""
    places, kinds = {}, {}
    for row in rows:
        code, line = ring.rows[row]
        if code is None:
            places[row], kinds[row] = table.location(table.c_function("(lost)")), LOST_KIND
        else:
            places[row], kinds[row] = table.location(table.code(code), line), LINE_KIND if line else CALL_KIND
    return places, kinds


def _labels(table: Table, threads: dict[Any, None]) -> dict[Any, int]:
    """Return the label of each thread; a number of lost events is of none."""
    labels = {}
    nobody = None
    for thread in threads:
        if type(thread) is tuple:
            labels[thread] = table.label(thread[0], thread[1])
        else:
            nobody = table.label() if nobody is None else nobody
            labels[thread] = nobody
    return labels
