"""Views of samples: which of the states that threads were met in count, and what threads waited in.

Samples that the daemon took hold a count for each state, so that one recording answers what took the processor, what
held the interpreter's lock, and where the time went, waiting included. Files of other samplers hold none of this.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from execd.model.collector import STATES
from execd.model.filter import into_callers, pruned
from execd.model.profile import BUILTIN_FILE, ROOT, Column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from execd.model.profile import Function, Profile

# What stands for the outermost frames of a stack that has too many.
LEFT_OUT: Final = "(frames left out)"
_SYSTEM_CALL: Final = "(system call "


class View(Enum):
    """Which samples count.

    Attributes:
        WALL: all, those of threads that waited too.
        CPU: those of threads on a processor, or ready for one.
        GIL: those of threads that held the interpreter's lock.
    """

    WALL = "wall"
    CPU = "cpu"
    GIL = "gil"


RUNNING: Final = ("running_with_gil", "running_without")
_COUNTED: Final[Mapping[View, frozenset[str]]] = {
    View.WALL: frozenset(name for name, _ in STATES),
    View.CPU: frozenset(RUNNING),
    View.GIL: frozenset({"running_with_gil", "waiting_with_gil"}),
}


def has_states(profile: Profile) -> bool:
    """Return whether samples tell what their threads were at."""
    return {name for name, _ in STATES} <= {column.name for column in profile.columns}


def states_of(profile: Profile) -> dict[str, int]:
    """Return how many samples there are of each state, in their order; of samples that do not tell, nothing."""
    return {name: sum(profile.column(name)) for name, _ in STATES} if has_states(profile) else {}


def usual_view(profile: Profile) -> View | None:
    """Return the view where none is asked for: of what ran, else of all; None of samples that have no states."""
    states = states_of(profile)
    if not states:
        return None
    return View.CPU if any(states[name] for name in RUNNING) else View.WALL


def viewed(profile: Profile, view: View) -> Profile:
    """Return the samples that a view counts, with the time that these stand for; stacks without any are left out.

    Args:
        profile: of samples that have states.
        view: which.
    """
    if view is View.WALL:
        return profile
    before, kept = profile.column("samples"), _sums(profile, _COUNTED[view])
    ran, kept_of_it = _sums(profile, RUNNING), _sums(profile, _COUNTED[view].intersection(RUNNING))
    values = {
        "samples": kept,
        "wall_ns": _parts(profile.column("wall_ns"), kept, before),
        "cpu_ns": _parts(profile.column("cpu_ns"), kept_of_it, ran),
        **{name: array("q", bytes(8 * len(kept))) for name, _ in STATES if name not in _COUNTED[view]},
    }
    columns = tuple(replace(one, values=values.get(one.name, one.values)) for one in profile.columns)
    return pruned(replace(profile, columns=columns), [count > 0 for count in kept])


def waits(profile: Profile) -> dict[str, int]:
    """Return how many samples were in which system call, by its name, the most first."""
    calls = {place: name for place, one in enumerate(profile.functions) if (name := _system_call(one))}
    found: Counter[str] = Counter()
    if calls:
        for node, count in enumerate(profile.column("samples")):
            function = profile.function_of(node)
            if count and function in calls:
                found[calls[function]] += count
    return dict(found.most_common())


def cut_samples(profile: Profile) -> int:
    """Return how many samples are of stacks whose outermost frames are not known: there were too many."""
    cut = {place for place, one in enumerate(profile.functions) if (one.name, one.file) == (LEFT_OUT, BUILTIN_FILE)}
    if not cut:
        return 0
    count, is_cut = 0, array("b")
    for node, (parent, samples) in enumerate(zip(profile.parents, profile.column("samples"), strict=True)):
        is_cut.append(is_cut[parent] if parent != ROOT else profile.function_of(node) in cut)
        count += samples if is_cut[node] else 0
    return count


def without_system_calls(profile: Profile) -> Profile:
    """Return the profile with what waited in a system call under the function that made it."""
    calls = [bool(_system_call(one)) for one in profile.functions]
    if not any(calls):
        return profile
    return into_callers(profile, [calls[profile.function_of(node)] for node in range(len(profile.parents))])


def _system_call(function: Function) -> str:
    """Return the name of the system call that a frame stands for, "" of any other frame."""
    if function.file != BUILTIN_FILE or not function.name.startswith(_SYSTEM_CALL):
        return ""
    return function.name.removeprefix(_SYSTEM_CALL).removesuffix(")")


def _sums(profile: Profile, names: Sequence[str] | frozenset[str]) -> array[int]:
    columns: list[Column] = [column for column in profile.columns if column.name in names]
    return array("q", map(sum, zip(*(column.values for column in columns), strict=True)))


def _parts(values: Sequence[int], kept: Sequence[int], of: Sequence[int]) -> array[int]:
    """Return the part of each value that stands for some of the samples which it is of."""
    return array(
        "q",
        (round(value * part / whole) if whole else 0 for value, part, whole in zip(values, kept, of, strict=True)),
    )
