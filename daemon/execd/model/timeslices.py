"""Recordings of calls in time slices: which of a profile's times and counts are of a share of the time alone."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.model.profile import Header

# In Header.extra: of each recording that went on in slices, an object each.
_SLICES: Final = "time_slices"


@dataclass(frozen=True, slots=True)
class TimeSlices:
    """The slices of a recording that did not record all of the time, to keep within its overhead limit.

    Attributes:
        since: when they began, seconds since the epoch; until then all was recorded.
        recorded_s: how long they were in all.
        whole_s: from `since` to the end of the profile.
    """

    since: float
    recorded_s: float
    whole_s: float

    @property
    def share(self) -> float:
        """The share of the time that was recorded since they began."""
        return self.recorded_s / self.whole_s if self.whole_s > 0 else 0.0

    @property
    def missed_s(self) -> float:
        """How long nothing was recorded."""
        return max(self.whole_s - self.recorded_s, 0.0)

    @property
    def caveat(self) -> str:
        """What is to be known about the figures."""
        since = datetime.fromtimestamp(self.since, UTC)
        return (
            f"recorded in time slices since {since:%H:%M:%S} UTC, to keep within the overhead limit: "
            f"{self.share * 100:.2g}% of the time ({self.recorded_s:.2f} s of {self.whole_s:.1f} s); "
            "counts and times from then on are of these slices alone"
        )


def with_slices(header: Header, recorded_s: float, whole_s: float) -> Header:
    """Return a header that says that its recording went on in slices.

    Args:
        header: of the profile.
        recorded_s: how long they were in all.
        whole_s: from the first pause to the end of the profile.
    """
    found = TimeSlices(round(header.ended_at - whole_s, 3), round(min(recorded_s, whole_s), 6), round(whole_s, 6))
    extra = {**header.extra, _SLICES: [asdict(found)]}
    return replace(header, extra=extra, caveats=(*header.caveats, found.caveat))


def slices_in(header: Header) -> list[TimeSlices]:
    """Return what a header says of slices, of a sum what those of its parts do; what is none is left out."""
    rows = header.extra.get(_SLICES)
    return [one for row in rows if (one := _read(row)) is not None] if isinstance(rows, list) else []


def slices_in_sum(headers: Sequence[Header]) -> dict[str, object]:
    """Return the slices of several recordings, as a field of a header; nothing where there are none."""
    rows = [asdict(one) for header in headers for one in slices_in(header)]
    return {_SLICES: rows} if rows else {}


def missed_s(header: Header) -> float:
    """Return for how long a recording was paused to keep within its limit, s; 0.0 of one that was not."""
    return sum(one.missed_s for one in slices_in(header))


def _read(row: object) -> TimeSlices | None:
    match row:
        case {
            "since": int() | float() as since,
            "recorded_s": int() | float() as recorded_s,
            "whole_s": int() | float() as whole_s,
        } if all(map(math.isfinite, (since, recorded_s, whole_s))) and 0 <= recorded_s <= whole_s:
            return TimeSlices(since, recorded_s, whole_s)
    return None
