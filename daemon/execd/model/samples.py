"""Folds of samples: how much of each measure a function has itself, and with all that it called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.model.collector import SAMPLES
from execd.model.fold import function_groups
from execd.model.tree import outermost, preorder, subtree_sums

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.model.fold import FunctionKey
    from execd.model.profile import Profile


@dataclass(frozen=True, slots=True)
class Amount:
    """What a function has of a measure: itself, and with what it called, which is counted once where it recurs."""

    own: int
    total: int


def measures(profile: Profile) -> tuple[str, ...]:
    """Return the columns in which there is something, the first one of all where there is nothing."""
    found = tuple(name for name, _ in SAMPLES.columns if any(profile.column(name)))
    return found or (SAMPLES.columns[0][0],)


def by_function(profile: Profile, measure: str) -> dict[FunctionKey, Amount]:
    """Return how much of a measure each function has.

    Args:
        profile: of samples.
        measure: a column of it.
    """
    keys, groups = function_groups(profile)
    own = _sums(groups, profile.column(measure), len(keys))
    sums = subtree_sums(profile.parents, profile.column(measure))
    total = [0] * len(keys)
    for node in outermost(preorder(profile.parents), groups):
        total[groups[node]] += sums[node]
    seen = set(groups)
    return {key: Amount(own[group], total[group]) for group, key in enumerate(keys) if group in seen}


def _sums(groups: Sequence[int], values: Sequence[int], size: int) -> list[int]:
    sums = [0] * size
    for group, value in zip(groups, values, strict=True):
        sums[group] += value
    return sums
