"""The export as collapsed stacks, which flame graph tools read: `bottom;...;leaf self_us` a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.model.filter import strip_dirs
from execd.model.fold import call_columns, function_groups
from execd.reports.escape import frame
from execd.reports.names import standard_name
from execd.reports.stacks import TRUNCATED, stacks

if TYPE_CHECKING:
    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions

MAX_BYTES = 512 << 20


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the stacks with their self time in us; those below half a microsecond are left out.

    Raises:
        UsageError: the text would exceed MAX_BYTES.
    """
    named = strip_dirs(profile) if options.strip_dirs else profile
    functions, groups = function_groups(named)
    names = [frame(standard_name(function)) for function in functions]
    frames = [names[group] for group in groups]
    self_ns = call_columns(named).self_ns
    sums: dict[str, int] = {}
    size = 0
    for node, path in stacks(named.parents, frames, TRUNCATED):
        if self_ns[node]:
            stack = ";".join(path)
            size += 0 if stack in sums else len(stack)
            sums[stack] = sums.get(stack, 0) + self_ns[node]
        if size > MAX_BYTES:
            raise _too_large()
    lines = [f"{stack} {round(ns / 1000)}\n" for stack, ns in sums.items() if round(ns / 1000) > 0]
    return "".join(lines).encode()


def _too_large() -> UsageError:
    return UsageError(
        f"collapsed stacks of this profile exceed {MAX_BYTES >> 20} MiB",
        remedy="export it as pprof",
    )
