"""What is said of a process that ran for a while before it was recorded."""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from execd.sessions.live import LiveTarget

# The kernel tells the start in hundredths of a second; one that began before the recording has missed nothing of it.
_NOTICEABLE_S = 0.02


def told_late(live: LiveTarget, root: LiveTarget, now: float) -> tuple[str, ...]:
    """Return what to say of a process of a tree that is armed now, nothing where it has missed nothing.

    Args:
        live: the process.
        root: of its tree.
        now: seconds since the epoch.
    """
    started_s = live.target.key.start_ticks / os.sysconf("SC_CLK_TCK")
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - started_s
    begun = [running.session.started_at for running in list(root.running.values())]
    begun_s = now - min(begun) if begun else math.inf
    if age_s < _NOTICEABLE_S or age_s > begun_s + _NOTICEABLE_S:
        return ()
    return (f"recorded from {age_s:.2f} s after the process's start on",)
