"""Retention: for how long, and up to which size, stored profiles are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Retention:
    """What is older, or beyond, goes at the end of the next session, and once an hour.

    Attributes:
        max_age_s: counted from when it was stored.
        max_bytes: of all profiles together; the oldest go first.
    """

    max_age_s: float = 30 * DAY_S
    max_bytes: int = 2 << 30
