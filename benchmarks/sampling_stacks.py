"""What stacks say that are judged: which cannot have been, and how far leaves are from the shares that they have."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from targets.sampled import CALLS, LEAVES_NS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sampling_targets import Planted

Stack = tuple[str, ...]
UNSETTLED = "(unsettled)"
# What comes before the program's own function.
OUTER = {"<module>", "main", "work_on", "_bootstrap", "_bootstrap_inner", "_context_run", "run"}


@dataclass(frozen=True, slots=True)
class Share:
    """Of the samples of a program those that were in a leaf.

    Attributes:
        measured: their share.
        low, high: between which it is to be.
        errors: by how many standard errors it is outside; 0.0 for one that is inside.
    """

    measured: float
    low: float
    high: float
    errors: float


def judged(stacks: Mapping[Stack, int], name: str) -> Counter[Stack]:
    """Return the part of the stacks that is a program's own work, without what called it."""
    known = functions(name)
    own: Counter[Stack] = Counter()
    for stack, count in stacks.items():
        inner = tuple(one for one in stack if one not in OUTER)
        if known.intersection(inner):
            own[inner] += count
    return own


def functions(name: str) -> set[str]:
    """Return the functions of a program."""
    calls = CALLS[name]
    return {*calls, *(one for called in calls.values() for one in called)}


def impossible(own: Mapping[Stack, int], name: str) -> Counter[Stack]:
    """Return the stacks that cannot have been, of those that are a program's own work."""
    calls = CALLS[name]
    found: Counter[Stack] = Counter()
    for stack, count in own.items():
        has_begun = stack[0] in (name, UNSETTLED)
        if not has_begun or not all(_may_call(above, below, calls) for above, below in pairwise(stack)):
            found[stack] += count
    return found


def _may_call(above: str, below: str, calls: Mapping[str, Iterable[str]]) -> bool:
    return UNSETTLED in (above, below) or below in calls.get(above, ())


def shares(own: Mapping[Stack, int], planted: Planted) -> dict[str, Share]:
    """Return the share of each planted leaf."""
    samples = sum(own.values())
    leaves: Counter[str] = Counter()
    for stack, count in own.items():
        leaves[stack[-1]] += count
    return {name: _share(leaves[name] / samples, samples, *planted[name]) for name in LEAVES_NS}


def _share(measured: float, samples: int, low: float, high: float) -> Share:
    error = (max(measured, 1 / samples) * (1 - measured) / samples) ** 0.5
    outside = measured - high if measured > high else min(measured - low, 0.0)
    return Share(measured, low, high, outside / error)
