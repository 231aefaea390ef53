"""What the reading of a file may take: time of the processor, and as long as somebody waits for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from execd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

# A snapshot of 64 MiB takes up to 60 s.
MAX_CPU_S = 90.0
# A look at the clock takes as long as some such steps.
_STEPS = 4096


def freely(steps: int) -> None:
    """Spend nothing: for files of one's own."""
    del steps


class Allowance:
    """The time for one call's files, in the thread that reads them.

    Args:
        seconds: of the processor.
        abandoned: whether nobody waits any more.
    """

    def __init__(self, seconds: float, abandoned: Callable[[], bool]) -> None:
        self._seconds, self._abandoned = seconds, abandoned
        self._ends_at = time.thread_time() + seconds
        self._room = 0

    def spend(self, steps: int) -> None:
        """Tell of steps that are about to be made, one value read or so each.

        Raises:
            UsageError: the time is over, or nobody waits any more.
        """
        self._room -= steps
        if self._room > 0:
            return
        self._room = _STEPS
        if self._abandoned():
            raise gone()
        if time.thread_time() > self._ends_at:
            raise UsageError(
                f"it takes more than the {self._seconds:.0f} s that files of one import may take to be read",
                remedy="import fewer files at a time, or record for a shorter time, or with fewer frames",
            )


def gone() -> UsageError:
    """Return the error of files that nobody waits for any more."""
    return UsageError("the client went away while its files were read", remedy="import them again")
