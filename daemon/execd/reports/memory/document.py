"""The JSON reports of a memory profile.

Schema 1, an object in ASCII with these fields:

    schema      1
    report      "memory" or "memory_change"
    profile     as in the report of calls, see document.py
    by          "filename", "lineno" or "traceback"
    cumulative  whether blocks are counted at every frame
    totals      count (blocks) and size (bytes)
    statistics  in the order of tracemalloc, each: frames (the oldest first, each: file, line), size, count;
                of a change also change, size_delta, count_delta
    earlier     of a change: the header of the earlier profile
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from execd.model.memory.statistics import differences, statistics
from execd.reports.document import head
from execd.reports.escape import valid
from execd.reports.memory.options import chosen_blocks, memory_options
from execd.reports.selection import limited

if TYPE_CHECKING:
    from collections.abc import Iterable

    from execd.model.memory.blocks import Blocks
    from execd.model.memory.statistics import Difference, Place, Statistic
    from execd.model.profile import Profile
    from execd.reports.memory.options import MemoryOptions
    from execd.reports.options import ReportOptions


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the statistics as a JSON document.

    Raises:
        UsageError: a setting or a limit does not fit.
    """
    asked = memory_options(options)
    blocks = chosen_blocks(profile, options, asked)
    found = limited(statistics(blocks, asked.group, cumulative=asked.cumulative), _text, options.limits)
    document = {**head("memory", profile.header), **_asked(asked, blocks)}
    document["statistics"] = [{"frames": _frames(one.place), "size": one.size, "count": one.count} for one in found]
    return json.dumps(document).encode()


def render_change(earlier: Profile, later: Profile, options: ReportOptions) -> bytes:
    """Return the comparison as a JSON document.

    Raises:
        UsageError: a setting or a limit does not fit.
    """
    asked = memory_options(options)
    blocks = chosen_blocks(later, options, asked)
    before = chosen_blocks(earlier, options, asked)
    found = limited(differences(before, blocks, asked.group, cumulative=asked.cumulative), _text, options.limits)
    document = {**head("memory", later.header, earlier.header), **_asked(asked, blocks)}
    document["statistics"] = [
        {
            "frames": _frames(one.place),
            "change": one.change.value,
            "size": one.size,
            "size_delta": one.size_delta,
            "count": one.count,
            "count_delta": one.count_delta,
        }
        for one in found
    ]
    return json.dumps(document).encode()


def _asked(asked: MemoryOptions, blocks: Iterable[Blocks]) -> dict[str, Any]:
    sums = [(one.count, one.size) for one in blocks]
    return {
        "by": asked.group.value,
        "cumulative": asked.cumulative,
        "totals": {"count": sum(count for count, _ in sums), "size": sum(size for _, size in sums)},
    }


def _frames(place: Place) -> list[dict[str, object]]:
    return [{"file": valid(file), "line": line} for file, line in place]


def _text(one: Statistic | Difference) -> str:
    file, line = one.place[0]
    return f"{file}:{line}"
