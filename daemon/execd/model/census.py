"""A census: how many live objects of each type, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.model.memory.statistics import Change, Difference

if TYPE_CHECKING:
    from execd.model.profile import Profile


@dataclass(frozen=True, slots=True)
class Tally:
    """The objects of a type, "module.name": how many, and their size in bytes."""

    name: str
    count: int
    size: int


@dataclass(frozen=True, slots=True)
class TallyChange:
    """The objects of a type now, and how many and how much more than before."""

    name: str
    change: Change
    count: int
    count_delta: int
    size: int
    size_delta: int


def tallies(profile: Profile) -> list[Tally]:
    """Return the types of a census, those that take most first; types of one name are one."""
    sums: dict[str, tuple[int, int]] = {}
    for node, count in enumerate(profile.column("objects")):
        function = profile.functions[profile.function_of(node)]
        name = f"{function.file}.{function.qualname}"
        known_count, known_size = sums.get(name, (0, 0))
        sums[name] = (known_count + count, known_size + profile.column("bytes")[node])
    found = [Tally(name, count, size) for name, (count, size) in sums.items()]
    return sorted(found, key=lambda one: (-one.size, -one.count, one.name))


def census_changes(earlier: Profile, later: Profile) -> list[TallyChange]:
    """Return the types whose objects became more or less, the largest change first."""
    before = {one.name: one for one in tallies(earlier)}
    after = {one.name: one for one in tallies(later)}
    found = []
    for name in before | after:
        old, new = before.get(name, Tally(name, 0, 0)), after.get(name, Tally(name, 0, 0))
        row = Difference((), new.size, new.size - old.size, new.count, new.count - old.count)
        if row.change is not Change.SAME:
            found.append(TallyChange(name, row.change, row.count, row.count_delta, row.size, row.size_delta))
    return sorted(found, key=lambda one: (-abs(one.size_delta), -abs(one.count_delta), one.name))
