"""Whether a recording of samples goes on, seen as a reader of it sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from footprint import becomes

if TYPE_CHECKING:
    from execd.sessions.armed import Running
    from execd.sessions.sampled import SampledTarget

LIMIT_S = 30.0


def has_new_samples(target: SampledTarget, running: Running) -> bool:
    """Whether the looks of others bring samples; we take none."""
    with target.looking:
        recording = target.recording(running)
        follower = recording.follow()
    try:
        return becomes(lambda: bool(follower.take().figures["turns"]), LIMIT_S)
    finally:
        with target.looking:
            recording.unfollow(follower)
