"""What `attach` says while it waits: for a point at which the target can be attached to, and for a session's end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execctl import output
from execctl.durations import format_duration
from execctl.timeouts import ATTACH_TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable


class Waiting:
    """Tells once that an attach is queued, and where the target is each time that changes.

    Args:
        target: as the user named it.
        timeout_ms: how long the attach waits at most.
        purpose: what is then done with it.
    """

    def __init__(self, target: str, timeout_ms: int, purpose: str = "attached to") -> None:
        self._target = target
        self._purpose = purpose
        self._timeout_ms = timeout_ms
        self._told = False
        self._place = ""

    def tell(self, place: str) -> None:
        """Say what is new.

        Args:
            place: where the target's main thread is, "" where that is not known.
        """
        if not self._told:
            patience = format_duration(self._timeout_ms)
            output.note(
                f"queued: waiting up to {patience} for {self._target} to reach a point at which it can be "
                f"{self._purpose}; Ctrl-C gives it up"
            )
        if place and place != self._place:
            output.note(f"{self._target}: its main thread is {place}")
            self._place = place
        self._told = True


class Ending:
    """Tells once what the end of a session waits for, where it takes longer than a second.

    Args:
        session: that ends.
        collector: of it.
    """

    def __init__(self, session: str, collector: str) -> None:
        self._session = session
        self._asks_for_lines = collector in ("lines", "cover")
        self._told = False

    def tell(self) -> None:
        """Say it."""
        if not self._told:
            what = "asking the target which lines of its files can run" if self._asks_for_lines else "storing it"
            output.note(f"{self._session}: has ended; {what}")
        self._told = True


def waiting_for_census(target: str) -> Callable[[str], None]:
    """Return what tells where a process is that is to be counted, as `Waiting.tell`."""
    return Waiting(target, round(ATTACH_TIMEOUT_S * 1000), "counted").tell
