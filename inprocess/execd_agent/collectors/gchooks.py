"""The calls handlers where there is no `_ctypes` to reach other threads with (3.9 to 3.11).

A thread can set its own profile function only. The garbage collector calls gc.callbacks in whichever thread makes it
run, so each thread is armed at its first collection, and takes the function out by itself at its first event after the
stop. A program without garbage collection is not seen this way; the caveat says from when a thread counts.
"""

from __future__ import annotations

import gc
import sys

from execd_agent import originals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

_CAVEAT = "other threads cannot be reached: each is recorded from its first garbage collection on"


class GcHooks:
    """The profile function in every thread that collects garbage."""

    def __init__(self, profile: Any) -> None:
        self.caveats = [_CAVEAT]
        self._guarded, self._stop = _guarded(profile, sys.setprofile, sys.getprofile)
        self._own_ident = originals.current_thread_id()
        self._previous_hook: Any = None

    def install(self) -> list[str]:
        """Wait for collections. Returns caveats."""
        threading: Any = sys.modules.get("threading")
        if hasattr(threading, "_profile_hook"):
            self._previous_hook = threading._profile_hook
            threading._profile_hook = self._guarded
        gc.callbacks.append(self._on_collection)
        return self.caveats

    def poll(self) -> None:
        """Nothing to look for: the threads come by themselves."""

    def remove(self) -> None:
        """Stop recording; the function leaves each thread at its next event."""
        self._stop()
        if self._on_collection in gc.callbacks:
            gc.callbacks.remove(self._on_collection)
        else:
            self.caveats.append("the target took our callback out of gc.callbacks; threads met since are missing")
        threading: Any = sys.modules.get("threading")
        if getattr(threading, "_profile_hook", None) is self._guarded:
            threading._profile_hook = self._previous_hook

    def _on_collection(self, _phase: str, _facts: dict[str, Any]) -> None:
        if originals.current_thread_id() != self._own_ident and sys.getprofile() is None:
            sys.setprofile(self._guarded)


def _guarded(profile: Any, set_profile: Any, get_profile: Any) -> tuple[Any, Any]:
    """Return a profile function that takes itself out once it is stopped, and what stops it.

    A thread may have its next event long after we are gone: it holds all that it needs.
    """
    stopped: list[bool] = []

    def guarded(frame: FrameType, event: str, argument: Any) -> None:
        if not stopped:
            profile(frame, event, argument)
        elif get_profile() is guarded:  # else the target's own function calls it
            set_profile(None)

    return guarded, lambda: stopped.append(True)
