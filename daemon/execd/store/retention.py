"""Which profiles have to go: a pure function of what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.store.profiles import KeptFile


def expired(kept: Sequence[KeptFile], *, now: float, max_age_s: float, max_bytes: int) -> list[int]:
    """Return the numbers of the profiles that exceed an age or, together, a size.

    Args:
        kept: all profiles, oldest first; those of running sessions count and stay.
        now: seconds since the epoch.
        max_age_s: what is older goes.
        max_bytes: the oldest go until the rest is no bigger.
    """
    gone = []
    total_bytes = sum(profile.stored_bytes for profile in kept)
    for profile in kept:
        too_old = now - profile.stored_at > max_age_s
        if not profile.running and (too_old or total_bytes > max_bytes):
            gone.append(profile.number)
            total_bytes -= profile.stored_bytes
    return gone
