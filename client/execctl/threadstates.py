"""What a thread is at, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORDS: Final[Mapping[str, str]] = {
    "": "could not be read",
    "running_with_gil": "running with the GIL",
    "running_without": "running without the GIL",
    "waiting_with_gil": "waiting with the GIL",
    "waiting_for_gil": "waiting for the GIL",
    "waiting": "waiting",
}


def state_words(state: str, system_call: str) -> str:
    """Return what a thread is at: "waiting in read", "running with the GIL".

    Args:
        state: as the daemon calls it; "" where it could not be read. One of a newer daemon is shown as it is called.
        system_call: that it is in, "" for none.
    """
    if not system_call or state not in ("waiting", "waiting_with_gil"):
        return _WORDS.get(state, state.replace("_", " "))
    holding = " with the GIL" if state == "waiting_with_gil" else ""
    return f"waiting in {system_call}{holding}"
