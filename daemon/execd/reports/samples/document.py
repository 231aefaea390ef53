r"""The JSON report of samples: schema, report "samples", profile, measures, totals, functions.

measures are the columns in which there is something: samples, wall_ns, cpu_ns. totals has the sum of each. Each of
functions has file (empty where it is not known), line (0 where it is not known), name, and as objects by measure
self and total.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from execd.model.samples import Amount, by_function, measures
from execd.reports.document import head
from execd.reports.escape import valid
from execd.reports.samples.names import sample_name
from execd.reports.samples.text import ordered, refuse_others
from execd.reports.selection import limited

if TYPE_CHECKING:
    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions

_NONE = Amount(0, 0)


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the report as a JSON document. Raises UsageError where an option does not fit."""
    refuse_others(options)
    found = {measure: by_function(profile, measure) for measure in measures(profile)}
    shown = limited(ordered(next(iter(found.values())), options), sample_name, options.limits)
    document = head("samples", profile.header)
    document["measures"] = list(found)
    document["totals"] = {measure: sum(one.own for one in rows.values()) for measure, rows in found.items()}
    document["functions"] = [
        {
            "file": valid(function[0]),
            "line": function[1],
            "name": valid(function[2]),
            "self": {measure: rows.get(function, _NONE).own for measure, rows in found.items()},
            "total": {measure: rows.get(function, _NONE).total for measure, rows in found.items()},
        }
        for function in shown
    ]
    return json.dumps(document).encode()
