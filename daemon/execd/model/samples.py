"""Folds of samples: how much of each measure a place in the program has itself, and with all that it called."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from execd.model.collector import SAMPLES, STATES
from execd.model.fold import edge_groups, function_groups
from execd.model.profile import BUILTIN_FILE, ROOT
from execd.model.tree import outermost, preorder, subtree_sums

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from execd.model.fold import FunctionKey
    from execd.model.profile import Profile


class By(Enum):
    """What is put together."""

    FUNCTION = "function"
    LINE = "line"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Amount:
    """What a place has of a measure: itself, and with what it called, which is counted once where it recurs."""

    own: int
    total: int


NONE = Amount(0, 0)


@dataclass(frozen=True, slots=True)
class Fold:
    """The nodes of a profile by place.

    Attributes:
        profile: whose.
        keys: the places, each a file, a line and a name: of a function the line that it begins at, of a line its own,
            of a file 0 and no name.
        groups: of each node the index of its place.
        walk: what `preorder` yields.
    """

    profile: Profile
    keys: Sequence[FunctionKey]
    groups: Sequence[int]
    walk: Sequence[tuple[int, int]]


def measures(profile: Profile) -> tuple[str, ...]:
    """Return the columns in which there is something, the first one of all where there is nothing."""
    found = tuple(name for name, _ in SAMPLES.columns if any(profile.column(name)))
    return found or (SAMPLES.columns[0][0],)


def figures(profile: Profile) -> tuple[str, ...]:
    """Return the measures, and of samples that tell what threads were at each state that was met."""
    known = {column.name for column in profile.columns}
    return (*measures(profile), *(name for name, _ in STATES if name in known and any(profile.column(name))))


def fold(profile: Profile, by: By = By.FUNCTION) -> Fold:
    """Return the nodes of a profile by place; what has no file goes by its name, whatever is put together."""
    keys, groups = function_groups(profile) if by is By.FUNCTION else _places(profile, by)
    return Fold(profile, keys, groups, list(preorder(profile.parents)))


def amounts(folded: Fold, measure: str) -> dict[FunctionKey, Amount]:
    """Return how much of a measure each place has.

    Args:
        folded: nodes by place.
        measure: a column of the profile.
    """
    found = _amounts(folded, folded.groups, len(folded.keys), measure)
    return {folded.keys[group]: amount for group, amount in found.items()}


def edges(folded: Fold, measure: str) -> dict[FunctionKey, dict[FunctionKey, Amount]]:
    """Return for each place how much of a measure it has under each of those that called it."""
    pairs, groups = edge_groups(folded.profile.parents, folded.groups)
    found: dict[FunctionKey, dict[FunctionKey, Amount]] = {folded.keys[one]: {} for one in folded.groups}
    for edge, amount in _amounts(folded, groups, len(pairs), measure).items():
        caller, callee = pairs[edge]
        if caller != ROOT:
            found[folded.keys[callee]][folded.keys[caller]] = amount
    return found


def turned(callers: Mapping[FunctionKey, Mapping[FunctionKey, Amount]]) -> dict[FunctionKey, dict[FunctionKey, Amount]]:
    """Return for each place what it called, of for each place what called it."""
    callees: dict[FunctionKey, dict[FunctionKey, Amount]] = {place: {} for place in callers}
    for callee, those in callers.items():
        for caller, along in those.items():
            callees[caller][callee] = along
    return callees


def standard_error(count: int, of: int) -> float:
    """Return the standard error of the share that some samples are of all, were each drawn by itself."""
    share = count / of if of else 0.0
    return math.sqrt(share * (1 - share) / of) if of else 0.0


def _amounts(folded: Fold, groups: Sequence[int], size: int, measure: str) -> dict[int, Amount]:
    values = folded.profile.column(measure)
    own, total = [0] * size, [0] * size
    for group, value in zip(groups, values, strict=True):
        own[group] += value
    sums = subtree_sums(folded.profile.parents, values)
    for node in outermost(folded.walk, groups):
        total[groups[node]] += sums[node]
    return {group: Amount(own[group], total[group]) for group in dict.fromkeys(groups)}


def _places(profile: Profile, by: By) -> tuple[list[FunctionKey], list[int]]:
    ids: dict[FunctionKey, int] = {}
    of_location = []
    for location in profile.locations:
        function = profile.functions[location.function]
        line, name = (location.line, function.name) if by is By.LINE else (0, "")
        if function.file in ("", BUILTIN_FILE):
            line, name = 0, function.name
        of_location.append(ids.setdefault((function.file, line, name), len(ids)))
    return list(ids), [of_location[location] for location in profile.node_locations]
