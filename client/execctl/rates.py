"""Rates of sampling as users write them: 200."""

from __future__ import annotations

LEAST_HZ, MOST_HZ = 1, 100_000


def parse_rate_hz(text: str) -> float:
    """Return how often a second.

    Raises:
        ValueError: the text is no number, or not in the range.
    """
    try:
        rate_hz = float(text)
    except ValueError:
        rate_hz = 0.0
    if not LEAST_HZ <= rate_hz <= MOST_HZ:
        raise ValueError(f"{text!r} is no rate: write how often a second, a number from {LEAST_HZ} to {MOST_HZ:,}")
    return rate_hz
