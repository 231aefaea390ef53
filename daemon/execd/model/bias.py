"""What recording calls cost the program, taken off its times: pstats' bias, by kind of event, on the call tree.

A call has two events, and the clock is read in the midst of each: a part of their cost is in the own time of the
function that is called, the rest in that of its caller. So a node's own time has the inner part of its own calls, the
outer part of the calls below it, and the whole cost of events of no counted call. These rules hold:

- what is taken off a node is at most its own time, and goes to no other node;
- the total time of a function loses what the nodes of its subtree lose;
- all that was recorded less all that was taken off is the sum of the own times.

Figures that are stored stay as they were recorded.
"""

from __future__ import annotations

from array import array
from dataclasses import astuple, dataclass, fields, replace
from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.model.fold import call_columns, is_summed
from execd.model.profile import BUILTIN_FILE, ROOT, Column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.model.profile import Header, Profile

# In Header.extra of a corrected profile: an object with recorded_ns and taken_ns.
CORRECTION = "correction"
AUTO = "auto"
# Of one event, s: more is a mistake in the unit.
_MOST_S = 1.0
UNCOUNTED = "uncounted"


@dataclass(frozen=True, slots=True)
class EventCosts:
    """What events cost, ns; fields of Header.extra where they were measured.

    Attributes:
        python_inside_ns: of a call of a Python function, what is in its own time.
        python_outside_ns: what is in its caller's.
        c_inside_ns, c_outside_ns: the same of a C function.
        uncounted_ns: an event of no counted call.
    """

    python_inside_ns: float
    python_outside_ns: float
    c_inside_ns: float = 0.0
    c_outside_ns: float = 0.0
    uncounted_ns: float = 0.0


@dataclass(frozen=True, slots=True)
class Correction:
    """What was taken off a profile.

    Attributes:
        recorded_ns: all of its time as it was recorded.
        taken_ns: what is less now.
        whole_parts: of a sum of how many parts nothing was taken, for what an event cost there was not measured.
    """

    recorded_ns: int
    taken_ns: int
    whole_parts: int = 0


def measured(header: Header) -> EventCosts | None:
    """Return what events of a recording cost, None where that was not measured."""
    values = {one.name: header.extra.get(one.name, 0) for one in fields(EventCosts)}
    if "python_inside_ns" not in header.extra:
        return None
    numbers = {name: float(value) for name, value in values.items() if type(value) in (int, float) and value >= 0}  # type: ignore[arg-type, operator]
    return EventCosts(**numbers) if len(numbers) == len(values) else None


def chosen(header: Header, asked: object = None) -> EventCosts | None:
    """Return what is to be taken off, None for nothing.

    Args:
        header: of the profile.
        asked: "auto" for what was measured, or seconds that each event cost; None for what the session was told, which
            is "auto" where that was nothing.

    Raises:
        UsageError: it is neither, or nothing was measured.
    """
    bias = asked
    if bias is None:
        bias = header.options.get("bias", AUTO)
        # A stored profile may say anything.
        bias = bias if type(bias) in (int, float) and 0 <= bias <= _MOST_S else AUTO  # type: ignore[operator]
    if bias != AUTO:
        ns = seconds(bias) * 1e9
        return EventCosts(ns, ns, ns, ns, ns) if ns else None
    found = measured(header)
    if found is None and asked is not None:
        raise UsageError(
            "what an event cost was not measured, or not alike in what was added up",
            remedy="--bias SECONDS, as execctl calibrate tells them, or --bias 0",
        )
    return found


def seconds(bias: object) -> float:
    """Return the seconds of a bias that is a number.

    Raises:
        UsageError: it is none, or out of range.
    """
    if type(bias) not in (int, float) or not 0 <= bias <= _MOST_S:  # type: ignore[operator]
        raise UsageError(
            f"a bias of {ascii(bias)[:50]}: it is auto, or what one event costs, from 0 to {_MOST_S:g} seconds",
            remedy="execctl calibrate PID tells it",
        )
    return float(bias)  # type: ignore[arg-type]


def corrected(profile: Profile, costs: EventCosts | None) -> Profile:
    """Return a call tree with what recording cost taken off, see above; what has no stacks is left as it is.

    Args:
        profile: of the collector calls, as it was recorded.
        costs: None for nothing.

    Raises:
        UsageError: the profile is another collector's.
    """
    if costs is None or is_summed(profile) or CORRECTION in profile.header.extra:
        return profile
    recorded = call_columns(profile).self_ns
    owed = _owed(profile, costs)
    own = array("q", (max(time_ns - round(cost), 0) for time_ns, cost in zip(recorded, owed, strict=True)))
    taken = {"recorded_ns": sum(recorded), "taken_ns": sum(recorded) - sum(own)}
    return replace(
        profile,
        header=replace(profile.header, extra={**profile.header.extra, CORRECTION: taken}),
        columns=tuple(Column(one.name, one.unit, own) if one.name == "self_ns" else one for one in profile.columns),
    )


def correction_of(header: Header) -> Correction | None:
    """Return what was taken off a profile, None where nothing was."""
    match header.extra.get(CORRECTION):
        case {"recorded_ns": int(recorded_ns), "taken_ns": int(taken_ns), **more}:
            whole_parts = more.get("whole_parts")
            return Correction(recorded_ns, taken_ns, whole_parts if isinstance(whole_parts, int) else 0)
    return None


def with_correction_of_parts(header: Header, parts: Sequence[Profile]) -> Header:
    """Return the header of a sum of call trees of which some are corrected, each by what its own events cost."""
    corrections = [correction_of(part.header) for part in parts]
    taken = sum(one.taken_ns for one in corrections if one)
    left = sum(sum(call_columns(part).self_ns) for part in parts)
    told = {"recorded_ns": left + taken, "taken_ns": taken, "whole_parts": corrections.count(None)}
    return replace(header, extra={**header.extra, CORRECTION: told})


def costs_of_sum(profiles: Sequence[Profile]) -> dict[str, float]:
    """Return what events cost on the mean of several recordings, as fields of a header; nothing where one is unknown.

    By the calls of each: what is taken off the sum is what would be taken off its parts.
    """
    found: list[EventCosts] = []
    weights: list[tuple[int, int, int]] = []
    for profile in profiles:
        costs = None if is_summed(profile) else chosen(profile.header)
        if costs is None:
            return {}
        found.append(costs)
        weights.append(_events(profile))
    python, c_function, uncounted = zip(*weights, strict=True)
    means = zip(*map(astuple, found), strict=True)
    of_field = (python, python, c_function, c_function, uncounted)
    return {
        field.name: _mean(values, weight)
        for field, values, weight in zip(fields(EventCosts), means, of_field, strict=True)
    }


def with_uncounted(profile: Profile) -> Profile:
    """Return a call tree with the column of uncounted events, which older ones and imported ones have not."""
    if profile.header.collector != "calls" or is_summed(profile):
        return profile
    if any(column.name == UNCOUNTED for column in profile.columns):
        return profile
    nothing = Column(UNCOUNTED, "count", array("q", bytes(8 * len(profile.parents))))
    return replace(profile, columns=(*profile.columns, nothing))


def _owed(profile: Profile, costs: EventCosts) -> list[float]:
    """Return for each node what events cost in its own time."""
    calls = call_columns(profile).calls
    uncounted = with_uncounted(profile).column(UNCOUNTED)
    is_c_function = _c_functions(profile)
    owed = [count * costs.uncounted_ns for count in uncounted]
    for node, parent in enumerate(profile.parents):
        is_c = is_c_function[node]
        owed[node] += calls[node] * (costs.c_inside_ns if is_c else costs.python_inside_ns)
        if parent != ROOT:
            owed[parent] += calls[node] * (costs.c_outside_ns if is_c else costs.python_outside_ns)
    return owed


def _events(profile: Profile) -> tuple[int, int, int]:
    """Return how many calls of Python functions there are, how many of C functions, and how many uncounted events."""
    calls = call_columns(profile).calls
    in_c = sum(count for count, is_c in zip(calls, _c_functions(profile), strict=True) if is_c)
    return sum(calls) - in_c, in_c, sum(with_uncounted(profile).column(UNCOUNTED))


def _c_functions(profile: Profile) -> list[bool]:
    """Return for each node whether it is a C function."""
    is_c = [one.file == BUILTIN_FILE and one.first_line == 0 for one in profile.functions]
    of_location = [is_c[location.function] for location in profile.locations]
    return [of_location[location] for location in profile.node_locations]


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    whole = sum(weights)
    if not whole:
        return sum(values) / len(values)
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / whole
