"""What a recording of samples is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from execd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

USUAL_RATE_HZ: Final = 200.0
_SLOWEST_HZ, _FASTEST_HZ = 1.0, 100_000.0
STOPPING: Final = ("as needed", "always", "never")
_KNOWN = frozenset({"rate_hz", "stopping", "keep_s", "thread"})
# Of every collector; there is nothing of this one in the target.
_OF_OTHERS = frozenset({"max_memory_bytes", "force"})
_LONGEST_KEPT_S = 86_400.0
_NS_A_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """How samples are taken.

    Attributes:
        rate_hz: how often a second each thread is looked at.
        stopping: whether running threads are stopped while they are read: as needed, always, never.
        keep_s: of a recording that goes on for ever: how far back it reaches, seconds; 0.0: to its start.
        thread: the only one that is looked at, by its name or number; "" for all.
    """

    rate_hz: float = USUAL_RATE_HZ
    stopping: str = STOPPING[0]
    keep_s: float = 0.0
    thread: str = ""

    @property
    def interval_ns(self) -> int:
        """From one sample to the next, on average."""
        return round(_NS_A_S / self.rate_hz)


def sampling_options(given: Mapping[str, object]) -> SamplingOptions:
    """Return the options of a session.

    Args:
        given: as it was asked for, JSON values.

    Raises:
        UsageError: one is unknown, or of a value that it cannot have.
    """
    unknown = sorted(given.keys() - _KNOWN - _OF_OTHERS)
    if unknown:
        raise UsageError(f"samples know no option {unknown[0]!r}", remedy=f"choose from: {', '.join(sorted(_KNOWN))}")
    stopping = given.get("stopping", STOPPING[0])
    if stopping not in STOPPING:
        raise UsageError(f"stopping is {', '.join(STOPPING[:-1])} or {STOPPING[-1]}, not {stopping!r}")
    thread = given.get("thread", "")
    return SamplingOptions(
        rate_hz=_number(given, "rate_hz", USUAL_RATE_HZ, _SLOWEST_HZ, _FASTEST_HZ),
        stopping=str(stopping),
        keep_s=_number(given, "keep_s", 0.0, 0.0, _LONGEST_KEPT_S),
        thread=thread if isinstance(thread, str) else str(thread),
    )


def _number(given: Mapping[str, object], key: str, usual: float, least: float, most: float) -> float:
    value = given.get(key, usual)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise UsageError(f"{key} is a number from {least:g} to {most:g}, not {value!r}")
    return float(value)
