"""The comparison of two profiles as text: functions new, gone, more, less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.model.change import compare, of_one_session
from execd.model.fold import renamed, strip_dirs
from execd.reports.escape import visible
from execd.reports.names import plain_basis, span, standard_name, visible_function
from execd.reports.selection import select
from execd.reports.tables import ordering
from execd.reports.text import origin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execd.model.change import Change, Comparison
    from execd.model.fold import FunctionKey, FunctionRow
    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions

BETWEEN_TITLE = "change      calls       +calls   +tottime   +cumtime filename:lineno(function)"
PER_SECOND_TITLE = "change    calls/s     +calls/s +tottime/s +cumtime/s filename:lineno(function)"


def render(earlier: Profile, later: Profile, options: ReportOptions) -> bytes:
    """Return the comparison as UTF-8 text.

    Raises:
        UsageError: a sort key or limit that does not parse, or profiles that cannot be compared.
    """

    def shown(rows: Mapping[FunctionKey, FunctionRow]) -> dict[FunctionKey, FunctionRow]:
        rows = renamed(rows, visible_function)
        return strip_dirs(rows) if options.strip_dirs else rows

    comparison = compare(earlier, later, shown)
    changes = {change.function: change for change in comparison.changes}
    selection = select({one: change.delta for one, change in changes.items()}, options, default_sort=())
    lines = [*origin(later.header), *_basis(comparison), "", *ordering(selection)]
    if selection.functions:
        lines.append(PER_SECOND_TITLE if comparison.per_second else BETWEEN_TITLE)
    decimals = 1 if comparison.per_second else 0
    lines += [_line(changes[function], decimals) for function in selection.functions]
    return "\n".join([*lines, ""]).encode()


def _basis(comparison: Comparison) -> list[str]:
    counts = [change.kind.value for change in comparison.changes]
    kinds = ", ".join(f"{counts.count(kind)} {kind}" for kind in ("new", "gone", "more", "less"))
    earlier = comparison.earlier
    of_one = "of one session: " if of_one_session(earlier, comparison.later) else ""
    basis = "per second of each" if comparison.per_second else f"{of_one}{plain_basis(earlier, comparison.later)}"
    which = f"profile {visible(earlier.profile)}, " if earlier.profile else ""
    return [f"Compared with: {which}{span(earlier)}, {basis}", f"Functions: {kinds}"]


def _line(change: Change, decimals: int) -> str:
    parts = [
        change.kind.value.ljust(6),
        f"{change.later.calls:10.{decimals}f}",
        f"{change.delta.calls:+12.{decimals}f}",
        f"{change.delta.self_ns / 1e9:+10.3f}",
        f"{change.delta.total_ns / 1e9:+10.3f}",
        standard_name(change.function),
    ]
    return " ".join(parts)
