"""Growth: what took more in each of several profiles than in the one before.

A leak does; what comes and goes does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.model.collector import CENSUS, MEMORY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from execd.model.memory.statistics import Place

# By collector: how its profiles are grouped, the usual way first.
GROWING = {MEMORY.name: ("lineno", "filename", "traceback"), CENSUS.name: ("type",)}


@dataclass(frozen=True, slots=True)
class Amount:
    """What there is of something: how many, and the bytes that they take."""

    count: int
    size: int


@dataclass(frozen=True, slots=True)
class Growth:
    """Something that grew.

    Attributes:
        place: where it was allocated; of a type its name and line 0.
        amounts: what there was of it in each profile, the oldest first.
    """

    place: Place
    amounts: tuple[Amount, ...]

    @property
    def gained(self) -> Amount:
        """What the latest has over the first."""
        first, latest = self.amounts[0], self.amounts[-1]
        return Amount(latest.count - first.count, latest.size - first.size)


NOTHING = Amount(0, 0)


def growing(series: Iterable[Mapping[Place, Amount]]) -> list[Growth]:
    """Return what took more bytes in each of the series than in the one before, the largest gain first.

    Args:
        series: two or more, the oldest first; what is not in one has nothing there.
    """
    grown: dict[Place, tuple[Amount, ...]] = {}
    for step, amounts in enumerate(series):
        if step == 0:
            first = amounts
            continue
        before = {place: (first.get(place, NOTHING),) for place in amounts} if step == 1 else grown
        grown = {
            place: (*known, amounts[place])
            for place, known in before.items()
            if place in amounts and amounts[place].size > known[-1].size
        }
    found = [Growth(place, amounts) for place, amounts in grown.items()]
    return sorted(found, key=lambda growth: (-growth.gained.size, -growth.gained.count, growth.place))


def collectors_of(grouping: str) -> tuple[str, ...]:
    """Return the collectors whose profiles can be grouped so, "" for any grouping.

    Raises:
        UsageError: there are none.
    """
    found = tuple(name for name, groupings in GROWING.items() if grouping in ("", *groupings))
    if not found:
        known = ", ".join(one for groupings in GROWING.values() for one in groupings)
        raise UsageError(f"growth does not group by {grouping!r}", remedy=f"choose from: {known}")
    return found


def no_growth(collector: str) -> UsageError:
    """Return the error for profiles that are no state that could grow."""
    return UsageError(
        f"growth is of memory and of a census, not of {collector}",
        remedy="record memory: execctl attach PID --memory; or count objects: execctl census PID",
        collector=collector,
    )
