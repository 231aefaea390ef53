"""What `attach` says while the target has not come to a point at which it can be attached to."""

from __future__ import annotations

from execctl import output
from execctl.durations import format_duration


class Waiting:
    """Tells once that an attach is queued, and where the target is each time that changes.

    Args:
        target: as the user named it.
        timeout_ms: how long the attach waits at most.
    """

    def __init__(self, target: str, timeout_ms: int) -> None:
        self._target = target
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
                f"queued: waiting up to {patience} for {self._target} to reach a point at which it can be attached to; "
                "Ctrl-C gives it up"
            )
        if place and place != self._place:
            output.note(f"{self._target}: its main thread is {place}")
            self._place = place
        self._told = True
