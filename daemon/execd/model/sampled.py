"""What a recording of samples tells of itself in its header: how often it looked, and what became of each look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.model.profile import Header

_COUNTS: Final = ("turns", "missed_turns", "verified", "unsettled", "unchanged", "stopped", "stop_refused")
# Of the reasons of Header.lost this one counts threads, the others samples.
_OF_THREADS: Final = "threads_left_out"


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a recording.

    Attributes:
        rate_hz, achieved_hz: how often a second all threads were to be looked at, and were; 0.0 where not known.
        verified, unsettled, unchanged: samples whose stack was there at a second look too, those of which a part was
            not, and those of threads that had waited ever since the look before.
        lost: samples of which nothing is known.
        stopped, stop_refused: how often a thread was stopped to be read, and could not be.
        stop_p50_us, stop_p99_us: for how long, 0.0 where not known.
    """

    rate_hz: float
    achieved_hz: float
    verified: int
    unsettled: int
    unchanged: int
    lost: int
    stopped: int
    stop_refused: int
    stop_p50_us: float
    stop_p99_us: float

    @property
    def unsettled_share(self) -> float:
        """Of the stacks that were read twice, how many had a part that moved."""
        read = self.verified + self.unsettled
        return self.unsettled / read if read else 0.0


def figures_in(header: Header) -> Figures | None:
    """Return the figures that a header has, None where it has none: of a file, or of samples of an older execd."""
    extra = header.extra
    if "turns" not in extra:
        return None

    def number(name: str) -> float:
        value = extra.get(name, 0)
        return value if isinstance(value, int | float) else 0

    return Figures(
        rate_hz=number("rate_hz"),
        achieved_hz=number("achieved_hz"),
        verified=int(number("verified")),
        unsettled=int(number("unsettled")),
        unchanged=int(number("unchanged")),
        lost=sum(count for reason, count in header.lost.items() if reason != _OF_THREADS),
        stopped=int(number("stopped")),
        stop_refused=int(number("stop_refused")),
        stop_p50_us=number("stop_p50_us"),
        stop_p99_us=number("stop_p99_us"),
    )


def figures_of_sum(headers: Sequence[Header]) -> dict[str, object]:
    """Return what goes into the header of a sum of recordings, nothing where one of them tells nothing.

    Counts add up; the rate achieved is that of all turns over all time; of the stops the longest is kept, for there is
    no median of medians.
    """
    parts = [figures_in(header) for header in headers]
    found = [part for part in parts if part is not None]
    if len(found) < len(headers):
        return {}
    counts = {name: sum(_count(header, name) for header in headers) for name in _COUNTS}
    # A part that never came to a turn lasted no time that is known.
    lasted_s = sum(
        _count(header, "turns") / part.achieved_hz
        for header, part in zip(headers, found, strict=True)
        if part.achieved_hz
    )
    rates = {part.rate_hz for part in found}
    slowest = max(part.stop_p99_us for part in found)
    return {
        **counts,
        "achieved_hz": counts["turns"] / lasted_s if lasted_s else 0.0,
        **({"rate_hz": rates.pop()} if len(rates) == 1 else {}),
        **({"stop_p99_us": slowest} if slowest else {}),
    }


def _count(header: Header, name: str) -> int:
    value = header.extra.get(name, 0)
    return value if isinstance(value, int) else 0
