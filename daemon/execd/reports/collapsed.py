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
    from collections.abc import Callable, Sequence

    from execd.model.fold import FunctionKey
    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions

MAX_BYTES = 512 << 20
_NS_A_US = 1000


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the stacks with their self time in us; those below half a microsecond are left out.

    Raises:
        UsageError: the text would exceed MAX_BYTES.
    """
    named = strip_dirs(profile) if options.strip_dirs else profile
    return lines(named, call_columns(named).self_ns, standard_name, _NS_A_US)


def lines(profile: Profile, values: Sequence[int], name: Callable[[FunctionKey], str], divisor: int) -> bytes:
    """Return the stacks of a profile with a value each; those that round to nothing are left out.

    Args:
        profile: the tree.
        values: one a node.
        name: what a function is called.
        divisor: how many make one of what is written.

    Raises:
        UsageError: the text would exceed MAX_BYTES.
    """
    functions, groups = function_groups(profile)
    names = [frame(name(function)) for function in functions]
    sums: dict[str, int] = {}
    size = 0
    for node, path in stacks(profile.parents, [names[group] for group in groups], frame(TRUNCATED)):
        if values[node]:
            stack = ";".join(path)
            size += 0 if stack in sums else len(stack)
            sums[stack] = sums.get(stack, 0) + values[node]
        if size > MAX_BYTES:
            raise too_large()
    rounded = ((stack, round(value / divisor) if divisor > 1 else value) for stack, value in sums.items())
    return "".join(f"{stack} {value}\n" for stack, value in rounded if value > 0).encode()


def too_large() -> UsageError:
    """Return what is raised for more than MAX_BYTES."""
    return UsageError(
        f"collapsed stacks of this profile exceed {MAX_BYTES >> 20} MiB",
        remedy="export it as pprof",
    )
