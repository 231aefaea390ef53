"""Comparison of two call trees, function by function.

Profiles of one session hold what happened since the same start: their difference is what happened between.
Those of two sessions cover different spans: they compare per second. A profile that was imported from a file tells no
span: its figures compare as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.model.fold import NOTHING, by_function
from execd.model.origins import origins_of, recorded_s
from execd.model.timeslices import missed_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from execd.model.fold import Figures, FunctionKey, FunctionRow
    from execd.model.profile import Header, Profile


class Kind(Enum):
    """What became of a function, in the order of a report."""

    NEW = "new"
    GONE = "gone"
    MORE = "more"
    LESS = "less"


@dataclass(frozen=True, slots=True)
class Amount:
    """Figures of a comparison: counts and ns, or the same per second of the profile's span."""

    calls: float
    primitive_calls: float
    self_ns: float
    total_ns: float


@dataclass(frozen=True, slots=True)
class Change:
    """A function that differs; `delta` is later minus earlier."""

    kind: Kind
    function: FunctionKey
    earlier: Amount
    later: Amount
    delta: Amount


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two profiles against each other.

    Attributes:
        earlier, later: where they come from.
        per_second: whether the amounts are per second; else they are plain figures, see `compares_per_second`.
        changes: what differs: new, gone, more, less, in each the largest change of self time first.
    """

    earlier: Header
    later: Header
    per_second: bool
    changes: tuple[Change, ...]


def compare(
    earlier: Profile,
    later: Profile,
    rename: Callable[[Mapping[FunctionKey, FunctionRow]], dict[FunctionKey, FunctionRow]] = dict,
) -> Comparison:
    """Return what differs between two call trees.

    Args:
        earlier: the profile to compare with.
        later: the profile that is looked at.
        rename: applied to both folds before they are compared, such as `fold.strip_dirs`.

    Raises:
        UsageError: one is another collector's, or of two sessions one covers no time.
    """
    per_second = compares_per_second(earlier.header, later.header)
    spans = [seconds_of(one.header) if per_second else 0.0 for one in (earlier, later)]
    before, after = (
        _amounts(rename(by_function(one, with_callers=False)), seconds)
        for one, seconds in zip((earlier, later), spans, strict=True)
    )
    changes = [_change(function, before, after) for function in dict.fromkeys([*before, *after])]
    differing = [change for change in changes if change is not None]
    order = {kind: place for place, kind in enumerate(Kind)}
    differing.sort(key=lambda change: (order[change.kind], -abs(change.delta.self_ns)))
    return Comparison(earlier.header, later.header, per_second, tuple(differing))


def of_one_session(earlier: Header, later: Header) -> bool:
    """Return whether two profiles are of one recording, of one process or of one tree."""
    if earlier.tree and later.tree:
        return earlier.tree.session == later.tree.session
    return bool(later.session) and (earlier.session, earlier.pid) == (later.session, later.pid)


def compares_per_second(earlier: Header, later: Header) -> bool:
    """Return whether figures compare per second: those of two recordings, of which both tell their span."""
    return not of_one_session(earlier, later) and None not in (recorded_s(earlier), recorded_s(later))


def seconds_of(header: Header) -> float:
    """Return what figures that compare per second are divided by. Raises UsageError where it is nothing."""
    seconds = recorded_s(header)
    # Of a sum the pauses of one part may be another's time.
    if seconds and not origins_of(header):
        seconds = max(seconds - missed_s(header), 0.0)
    if not seconds:
        raise UsageError(
            "profiles of two sessions compare per second, and one of them covers no time",
            remedy="compare profiles of one session, or record for longer",
            session=header.session,
        )
    return seconds


def _amounts(rows: Mapping[FunctionKey, FunctionRow], seconds: float) -> dict[FunctionKey, Amount]:
    return {function: _amount(row.figures, seconds) for function, row in rows.items()}


def _amount(figures: Figures, seconds: float) -> Amount:
    values = (figures.calls, figures.primitive_calls, figures.self_ns, figures.total_ns)
    return Amount(*(value / seconds for value in values)) if seconds else Amount(*values)


def _change(
    function: FunctionKey, before: Mapping[FunctionKey, Amount], after: Mapping[FunctionKey, Amount]
) -> Change | None:
    nothing = _amount(NOTHING, 0.0)
    earlier, later = before.get(function, nothing), after.get(function, nothing)
    delta = Amount(
        later.calls - earlier.calls,
        later.primitive_calls - earlier.primitive_calls,
        later.self_ns - earlier.self_ns,
        later.total_ns - earlier.total_ns,
    )
    if function not in before:
        return Change(Kind.NEW, function, earlier, later, delta)
    if function not in after:
        return Change(Kind.GONE, function, earlier, later, delta)
    # Calls decide; only where they are equal does the time.
    decisive = delta.calls or delta.self_ns or delta.total_ns
    if not decisive:
        return None
    return Change(Kind.MORE if decisive > 0 else Kind.LESS, function, earlier, later, delta)
