"""Shares as users write them, 20% or 0.2, and what recording costs, in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from execctl.api.session import Overhead

MOST_SHARE = 10.0
_PERCENT = 100


def parse_share(text: str) -> float:
    """Return a share that something may have.

    Raises:
        ValueError: it is none, is not above 0, or is more than 1000%.
    """
    word = text.strip()
    is_percent = word.endswith("%")
    try:
        share = float(word.removesuffix("%")) / (_PERCENT if is_percent else 1)
    except ValueError:
        share = math.nan
    # 20 was meant as 20%, most likely.
    if not 0 < share <= (MOST_SHARE if is_percent else 1):
        raise ValueError(f"{text!r} is no share: write 20% or 0.2, above 0, {MOST_SHARE:.0%} at most")
    return share


def format_share(share: float | None) -> str:
    """Return a share for people, "?" where it is not known."""
    if share is None:
        return "?"
    return f"{share:.1%}" if share < 1 / 10 else f"{share:.0%}"


def described(cost: Overhead) -> str:
    """Return what recording costs: "12% (310,000 events/s at 38 ns)"."""
    if cost.share is None:
        return f"not known ({cost.events_per_s:,.0f} events/s)"
    return f"{format_share(cost.share)} ({cost.events_per_s:,.0f} events/s at {cost.event_ns:.0f} ns)"
