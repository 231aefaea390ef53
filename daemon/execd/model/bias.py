"""What recording calls cost the program, taken off its times: pstats' bias, by kind of event, on the call tree.

A call has two events, and the clock is read in the midst of each: a part of their cost is in the own time of the
function that is called, the rest in that of its caller. So a node's own time has the inner part of its own calls, the
outer part of the calls below it, and the whole cost of events of no counted call.

There are two prices. In a row of events, where it is measured, an event is cheap. In the program it costs more: 1.0 to
1.3 times as much on a quiet machine, up to 3 times on a busy one, and most where the thread just got the processor; how
long the work was that came before hardly matters. So some events are timed where they happen. A node's own price is the
one of a row, times what these took over what they take in a row. These rules hold:

- what is taken off a node is at most its own time, and goes to no other node;
- of what the price of a row leaves, its own price takes half at most: a function of little but events keeps some time,
  for a price that is too high is worse than one that is too low;
- the total time of a function loses what the nodes of its subtree lose;
- all that was recorded less all that was taken off is the sum of the own times.

Figures that are stored stay as they were recorded.
"""

from __future__ import annotations

from array import array
from dataclasses import astuple, dataclass, fields, replace
from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.model.collector import CALLS, OPTIONAL_COLUMNS
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
_UNCOUNTED, _TIMED, _TIMED_NS = "uncounted", "timed", "timed_ns"
# What fewer events took, by chance, says nothing.
_ENOUGH_TIMED = 20
_MOST_OF_THE_REST = 0.5
_MOST_DEARER = 1000.0


@dataclass(frozen=True, slots=True)
class EventCosts:
    """What events cost, ns; fields of Header.extra where they were measured.

    Attributes:
        python_inside_ns: of a call of a Python function, what is in its own time.
        python_outside_ns: what is in its caller's.
        c_inside_ns, c_outside_ns: the same of a C function.
        uncounted_ns: an event of no counted call.
        python_inside_timed_ns and others: how much of it is timed where an event is; 0 where that is not known.
    """

    python_inside_ns: float
    python_outside_ns: float
    c_inside_ns: float = 0.0
    c_outside_ns: float = 0.0
    uncounted_ns: float = 0.0
    python_inside_timed_ns: float = 0.0
    python_outside_timed_ns: float = 0.0
    c_inside_timed_ns: float = 0.0
    c_outside_timed_ns: float = 0.0


@dataclass(frozen=True, slots=True)
class Correction:
    """What was taken off a profile.

    Attributes:
        recorded_ns: all of its time as it was recorded.
        taken_ns: what is less now.
        in_rows_ns: what would be taken off by the price of a row of events, 0 where it is not told.
        whole_parts: of a sum of how many parts nothing was taken, for what an event cost there was not measured.
    """

    recorded_ns: int
    taken_ns: int
    in_rows_ns: int = 0
    whole_parts: int = 0

    @property
    def dearer(self) -> float:
        """How many times as much events cost in the program as in a row of them; 0 where that is not known."""
        return self.taken_ns / self.in_rows_ns if self.in_rows_ns else 0.0


def measured(header: Header) -> EventCosts | None:
    """Return what events of a recording cost, None where that was not measured."""
    values = {one.name: header.extra.get(one.name, 0) for one in fields(EventCosts)}
    if "python_inside_ns" not in header.extra:
        return None
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float) and value is not True}
    if len(numbers) < len(values) or not all(0 <= value <= _MOST_S * 1e9 for value in numbers.values()):
        return None
    return EventCosts(**{name: float(value) for name, value in numbers.items()})


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


def corrected(profile: Profile, costs: EventCosts | None, like: Profile | None = None) -> Profile:
    """Return a call tree with what recording cost taken off, see above; what has no stacks is left as it is.

    Args:
        profile: of the collector calls, as it was recorded.
        costs: None for nothing.
        like: the profile whose timed events say how much dearer they were, which may be a later one of the session;
            None for the same.

    Raises:
        UsageError: the profile is another collector's.
    """
    if costs is None or is_summed(profile) or CORRECTION in profile.header.extra:
        return profile
    recorded = call_columns(profile).self_ns
    in_rows = [min(time_ns, round(cost)) for time_ns, cost in zip(recorded, _owed(profile, costs), strict=True)]
    dearer_in = _dearer(profile, costs) if like is None else _dearer_as_in(like, profile, costs)
    own = array("q")
    for time_ns, taken_ns, dearer in zip(recorded, in_rows, dearer_in, strict=True):
        more_ns = min(taken_ns * (dearer - 1), (time_ns - taken_ns) * _MOST_OF_THE_REST)
        own.append(time_ns - taken_ns - int(more_ns))
    taken = {"recorded_ns": sum(recorded), "taken_ns": sum(recorded) - sum(own), "in_rows_ns": sum(in_rows)}
    return replace(
        profile,
        header=replace(profile.header, extra={**profile.header.extra, CORRECTION: taken}),
        columns=tuple(Column(one.name, one.unit, own) if one.name == "self_ns" else one for one in profile.columns),
    )


def correction_of(header: Header) -> Correction | None:
    """Return what was taken off a profile, None where nothing was."""
    match header.extra.get(CORRECTION):
        case {"recorded_ns": int(recorded_ns), "taken_ns": int(taken_ns), **more}:
            others = (more.get(name) for name in ("in_rows_ns", "whole_parts"))
            return Correction(recorded_ns, taken_ns, *(one if isinstance(one, int) else 0 for one in others))
    return None


def with_correction_of_parts(header: Header, parts: Sequence[Profile]) -> Header:
    """Return the header of a sum of call trees of which some are corrected, each by what its own events cost."""
    corrections = [correction_of(part.header) for part in parts]
    taken = sum(one.taken_ns for one in corrections if one)
    left = sum(sum(call_columns(part).self_ns) for part in parts)
    in_rows = sum(one.in_rows_ns for one in corrections if one)
    whole_parts = corrections.count(None)
    told = {"recorded_ns": left + taken, "taken_ns": taken, "in_rows_ns": in_rows, "whole_parts": whole_parts}
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
    of_calls = (python, python, c_function, c_function)
    mean = {
        field.name: _mean(values, weight)
        for field, values, weight in zip(fields(EventCosts), means, (*of_calls, uncounted, *of_calls), strict=True)
    }
    # Of a part in which none was timed nobody knows how much dearer they were.
    is_timed = all(one.python_inside_timed_ns for one in found)
    return {name: value if is_timed or not name.endswith("timed_ns") else 0.0 for name, value in mean.items()}


def has_event_columns(profile: Profile) -> bool:
    """Tell whether a profile is a call tree with columns of what events cost."""
    known = {name for name, _ in OPTIONAL_COLUMNS[CALLS.name]}
    return profile.header.collector == CALLS.name and any(column.name in known for column in profile.columns)


def with_event_columns(profile: Profile) -> Profile:
    """Return a call tree with all columns of what events cost, which older ones and imported ones have not."""
    if profile.header.collector != CALLS.name or is_summed(profile):
        return profile
    has = {column.name for column in profile.columns}
    nothing = bytes(8 * len(profile.parents))
    missing = [one for one in OPTIONAL_COLUMNS[CALLS.name] if one[0] not in has]
    return replace(profile, columns=(*profile.columns, *(Column(*one, array("q", nothing)) for one in missing)))


def _owed(profile: Profile, costs: EventCosts) -> list[float]:
    """Return for each node what events cost in its own time."""
    of_python, of_c = (costs.python_inside_ns, costs.python_outside_ns), (costs.c_inside_ns, costs.c_outside_ns)
    uncounted = with_event_columns(profile).column(_UNCOUNTED)
    of_calls = _of_calls(profile, of_python, of_c)
    return [owed + count * costs.uncounted_ns for owed, count in zip(of_calls, uncounted, strict=True)]


def _of_calls(profile: Profile, of_python: tuple[float, float], of_c: tuple[float, float]) -> list[float]:
    """Return for each node a sum over calls: of each of its own the first figure, of each below it the second."""
    calls = call_columns(profile).calls
    sums = [0.0] * len(profile.parents)
    for node, (parent, is_c) in enumerate(zip(profile.parents, _c_functions(profile), strict=True)):
        inside, outside = of_c if is_c else of_python
        sums[node] += calls[node] * inside
        if parent != ROOT:
            sums[parent] += calls[node] * outside
    return sums


def _dearer(profile: Profile, costs: EventCosts) -> list[float]:
    """Return for each node how many times as much its events cost as in a row of them, at least 1.

    Nodes of few timed events are taken together: what is rare comes upon cold caches everywhere.
    """
    if not costs.python_inside_timed_ns:
        return [1.0] * len(profile.parents)
    of_python = (costs.python_inside_timed_ns, costs.python_outside_timed_ns)
    in_rows = _of_calls(profile, of_python, (costs.c_inside_timed_ns, costs.c_outside_timed_ns))
    events = _of_calls(profile, (1, 1), (1, 1))
    known = with_event_columns(profile)
    timed, timed_ns = known.column(_TIMED), known.column(_TIMED_NS)
    # What those that were timed take in a row, of these kinds.
    usual = [count * cost / (number or 1) for count, cost, number in zip(timed, in_rows, events, strict=True)]
    rare = [node for node, count in enumerate(timed) if count < _ENOUGH_TIMED]
    of_rare = _ratio(*(sum(values[node] for node in rare) for values in (timed, timed_ns, usual)))
    return [_ratio(*one) or of_rare or 1.0 for one in zip(timed, timed_ns, usual, strict=True)]


def _dearer_as_in(other: Profile, profile: Profile, costs: EventCosts) -> list[float]:
    """Return the same of the nodes of another profile that have the same stacks, 1 where there is none."""
    if is_summed(other) or other is profile:
        return _dearer(profile, costs)
    known: dict[tuple[object, ...], int] = {}
    dearer = dict(zip(_stacks(other, known), _dearer(other, costs), strict=True))
    return [dearer.get(stack, 1.0) for stack in _stacks(profile, known)]


def _stacks(profile: Profile, known: dict[tuple[object, ...], int]) -> list[int]:
    """Return for each node the number of its stack, in its thread; `known` has those that were numbered before."""
    threads = [(label.pid, label.thread_id) for label in profile.labels]
    numbers: list[int] = []
    for parent, location, label in zip(profile.parents, profile.node_locations, profile.node_labels, strict=True):
        above = ROOT if parent == ROOT else numbers[parent]
        function = profile.functions[profile.locations[location].function]
        numbers.append(known.setdefault((above, function, threads[label]), len(known)))
    return numbers


def _ratio(timed: float, timed_ns: float, usual_ns: float) -> float:
    """Return how many times as much the timed events took as they do in a row, 0 where that is not known."""
    return min(max(timed_ns / usual_ns, 1.0), _MOST_DEARER) if timed >= _ENOUGH_TIMED and usual_ns else 0.0


def _events(profile: Profile) -> tuple[int, int, int]:
    """Return how many calls of Python functions there are, how many of C functions, and how many uncounted events."""
    calls = call_columns(profile).calls
    in_c = sum(count for count, is_c in zip(calls, _c_functions(profile), strict=True) if is_c)
    return sum(calls) - in_c, in_c, sum(with_event_columns(profile).column(_UNCOUNTED))


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
