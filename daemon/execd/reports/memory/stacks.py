"""Memory as collapsed stacks, which flame graph tools read: `oldest;...;newest bytes` a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.reports.escape import frame
from execd.reports.memory.options import chosen_blocks, memory_options
from execd.reports.stacks import MAX_DEPTH, TRUNCATED

if TYPE_CHECKING:
    from execd.model.memory.statistics import Place
    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions

_MAX_BYTES = 512 << 20


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the stacks with the bytes that live of each.

    Raises:
        UsageError: a setting does not fit, or the text would exceed 512 MiB.
    """
    sums: dict[Place, int] = {}
    for one in chosen_blocks(profile, options, memory_options(options)):
        sums[one.frames] = sums.get(one.frames, 0) + one.size
    lines, size = [], 0
    for place, total in sums.items():
        lines.append(f"{_stack(place)} {total}\n")
        size += len(lines[-1])
        if size > _MAX_BYTES:
            raise UsageError("collapsed stacks of this profile exceed 512 MiB", remedy="export it as json")
    return "".join(lines).encode()


def _stack(place: Place) -> str:
    shown = place if len(place) <= MAX_DEPTH else place[1 - MAX_DEPTH :]
    frames = [frame(f"{file}:{line}") for file, line in shown]
    return ";".join([frame(TRUNCATED), *frames] if len(shown) < len(place) else frames)
