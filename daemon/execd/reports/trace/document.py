"""The JSON report on a trace.

Schema 1, an object in ASCII with these fields:

    schema      1
    report      "trace"
    profile     what is reported, as in the report on functions (document.py)
    totals      lines, calls, lost: how many there are of each
    places      what events point into, each: file, line (0 for a call), function (its qualified name), first_line
    threads     the same, each: thread_id, thread_name
    events      in their order, by column, for there may be a million of them: time_ns (since the start), kind (0 a
                line, 1 a call, 2 a mark where events are missing), place, thread, lost (how many a mark stands for)
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from execd.model.collector import TraceKind
from execd.reports.document import encoded, head

if TYPE_CHECKING:
    from execd.model.profile import Location, Profile
    from execd.reports.options import ReportOptions

_END = b"\n}\n"


def render(profile: Profile, _options: ReportOptions) -> bytes:
    """Return the report as a JSON document."""
    times, kinds, lost = (profile.column(name).tolist() for name in ("time_ns", "kind", "lost"))
    begun = encoded(
        {
            **head("trace", profile.header),
            "totals": {
                "lines": kinds.count(TraceKind.LINE),
                "calls": kinds.count(TraceKind.CALL),
                "lost": sum(lost),
            },
            "places": [_place(profile, location) for location in profile.locations],
            "threads": [{"thread_id": label.thread_id, "thread_name": label.thread_name} for label in profile.labels],
        }
    )
    events = {
        "time_ns": times,
        "kind": kinds,
        "place": profile.node_locations.tolist(),
        "thread": profile.node_labels.tolist(),
        "lost": lost,
    }
    # A number a line, as in the rest, would be five million lines.
    return begun.removesuffix(_END) + b',\n  "events": ' + json.dumps(events).encode() + _END


def _place(profile: Profile, location: Location) -> dict[str, Any]:
    function = profile.functions[location.function]
    return {
        "file": function.file,
        "line": location.line,
        "function": function.qualname,
        "first_line": function.first_line,
    }
