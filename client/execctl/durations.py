"""Durations as users write them: 500ms, 30s, 5m, 1.5h."""

from __future__ import annotations

import math
import re

from execctl.errors import UsageError

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_DAY_S = 86_400
_PATTERN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
# They travel as uint32 milliseconds: 49 days.
MAX_MS = 2**32 - 1


def parse_age_s(text: str) -> float:
    """Return how long ago something was, in seconds; days may be given too: 7d.

    Raises:
        ValueError: the text is no such time, or is zero.
    """
    days = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)d", text.strip())
    if days is None:
        match = _PATTERN.fullmatch(text.strip())
        age_s = float(match[1]) * _UNIT_MS[match[2]] / 1000 if match else 0.0
    else:
        age_s = float(days[1]) * _DAY_S
    if not 0 < age_s < math.inf:
        raise ValueError(f"{text!r} is no age: write a number with its unit, 30m, 12h or 7d")
    return age_s


def parse_duration_ms(text: str) -> int:
    """Return the duration in milliseconds.

    Raises:
        ValueError: the text is no duration, is zero, or is longer than 49 days.
    """
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration: write a number with its unit, 500ms, 30s, 5m or 1h")
    duration_ms = round(float(match[1]) * _UNIT_MS[match[2]])
    if not 0 < duration_ms <= MAX_MS:
        raise ValueError(f"{text!r} is not between 1ms and 49 days")
    return duration_ms


def parse_duration_s(text: str) -> float:
    """Return the duration in seconds. Raises ValueError as parse_duration_ms does."""
    return parse_duration_ms(text) / _UNIT_MS["s"]


def parse_kept_s(text: str) -> float:
    """Return how far back a recording reaches, in seconds.

    Raises:
        ValueError: the text is no duration, or longer than a day.
    """
    kept_s = parse_duration_s(text)
    if kept_s > _DAY_S:
        raise ValueError(f"{text!r} is longer than a day, and no more is kept")
    return kept_s


def milliseconds(name: str, seconds: float) -> int:
    """Return a duration as it travels.

    Args:
        name: of the argument, for the message.
        seconds: how long.

    Raises:
        UsageError: it is no number, negative, or longer than 49 days.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_MS / 1000:
        raise UsageError(f"{name} is a number of seconds from 0 to 49 days, and not {seconds!r}")
    return round(seconds * 1000)


def format_duration(duration_ms: int) -> str:
    """Return the duration for people: 500 ms, 12.3 s, 5 min 0 s."""
    if duration_ms < _UNIT_MS["s"]:
        return f"{duration_ms} ms"
    if duration_ms < _UNIT_MS["m"]:
        return f"{duration_ms / 1000:.1f} s"
    minutes, rest_ms = divmod(duration_ms, _UNIT_MS["m"])
    return f"{minutes} min {rest_ms // 1000} s"
