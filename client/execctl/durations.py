"""Durations as users write them: 500ms, 30s, 5m, 1.5h, 2d."""

from __future__ import annotations

import math
import re

from execctl.errors import UsageError

_DAY_S = 86_400
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": _DAY_S * 1_000}
_PATTERN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
# They travel as uint32 milliseconds, which are some hours more.
_MOST_DAYS = 49
MAX_MS = _MOST_DAYS * _UNIT_MS["d"]


def parse_age_s(text: str) -> float:
    """Return how long ago something was, in seconds.

    Raises:
        ValueError: the text is no such time, or is zero.
    """
    age_s = _milliseconds(text) / _UNIT_MS["s"]
    if not 0 < age_s < math.inf:
        raise ValueError(f"{text!r} is no age: write a number with its unit, 30m, 12h or 7d")
    return age_s


def parse_duration_ms(text: str, most_days: int = _MOST_DAYS) -> int:
    """Return the duration in milliseconds.

    Raises:
        ValueError: the text is no duration, is zero, or is longer than so many days.
    """
    duration_ms = _milliseconds(text)
    if math.isnan(duration_ms):
        raise ValueError(f"{text!r} is no duration: write a number with its unit, 500ms, 30s, 5m, 1h or 1d")
    if not 1 <= duration_ms <= most_days * _UNIT_MS["d"]:
        raise ValueError(f"{text!r} is not between 1ms and {most_days}d")
    return round(duration_ms)


def _milliseconds(text: str) -> float:
    """Return a number with its unit, not a number where it is none."""
    match = _PATTERN.fullmatch(text.strip())
    return float(match[1]) * _UNIT_MS[match[2]] if match else math.nan


def parse_duration_s(text: str) -> float:
    """Return the duration in seconds. Raises ValueError as parse_duration_ms does."""
    return parse_duration_ms(text) / _UNIT_MS["s"]


def parse_kept_s(text: str) -> float:
    """Return how far back a recording reaches, in seconds.

    Raises:
        ValueError: the text is no duration, or longer than a day.
    """
    return parse_duration_ms(text, most_days=1) / _UNIT_MS["s"]


def milliseconds(name: str, seconds: float) -> int:
    """Return a duration as it travels.

    Args:
        name: of the argument, for the message.
        seconds: how long.

    Raises:
        UsageError: it is no number, negative, or longer than 49 days.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_MS / 1000:
        raise UsageError(f"{name} is a number of seconds from 0 to {_MOST_DAYS} days, and not {seconds!r}")
    return round(seconds * 1000)


def format_duration(duration_ms: int) -> str:
    """Return the duration for people: 500 ms, 12.3 s, 5 min 0 s."""
    if duration_ms < _UNIT_MS["s"]:
        return f"{duration_ms} ms"
    if duration_ms < _UNIT_MS["m"]:
        return f"{duration_ms / 1000:.1f} s"
    minutes, rest_ms = divmod(duration_ms, _UNIT_MS["m"])
    return f"{minutes} min {rest_ms // 1000} s"
