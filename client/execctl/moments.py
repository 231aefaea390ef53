"""Spans of time as users write them: 10:02 10:05, by the clock of their terminal."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta

_WITH_DATE = re.compile(r"(?P<date>(19|2[0-9])[0-9]{2}-[0-9]{2}-[0-9]{2})[T ](?P<time>.+)")
# Hours alone, as fromisoformat takes them, could be a PID.
_TIME = re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?")
_HOW = "write 10:02, 10:02:30 or 2026-11-20T10:02"


def parse_span_s(first: str, last: str, now_s: float) -> tuple[float, float]:
    """Return a span of time, seconds since the epoch.

    A time without a date is of the user's clock: the first one the latest such that is not to come, or that is before
    the last one where this has a date; the last one the next such after the first.

    Args:
        first: "10:02", "10:02:30", "2026-11-20T10:02"; with a zone, "10:02Z", by its clock.
        last: likewise.
        now_s: the time that it is.

    Raises:
        ValueError: one is no time, or the last is not after the first.
    """
    (first_date, first_time), (last_date, last_time) = _parsed(first), _parsed(last)
    if first_date is not None:
        begins_s = _seconds(first_date, first_time)
    else:
        before_s = now_s if last_date is None else _seconds(last_date, last_time)
        begins_s = _latest_s(first_time, before_s)
    ends_s = _next_s(last_time, begins_s) if last_date is None else _seconds(last_date, last_time)
    if first == last or ends_s <= begins_s:
        raise ValueError(f"{last!r} is not after {first!r}")
    return begins_s, ends_s


def _parsed(text: str) -> tuple[date | None, time]:
    dated = _WITH_DATE.fullmatch(text)
    day, clock = (dated["date"], dated["time"]) if dated else (None, text)
    if not _TIME.fullmatch(clock):
        raise ValueError(f"{text!r} is no time: {_HOW}")
    try:
        return date.fromisoformat(day) if day else None, time.fromisoformat(clock)
    except ValueError:
        raise ValueError(f"there is no time {text!r}: {_HOW}") from None


def _seconds(day: date, clock: time) -> float:
    return datetime.combine(day, clock).timestamp()


def _latest_s(clock: time, before_s: float) -> float:
    """Return the latest moment of a time of day that is not after another moment."""
    day = datetime.fromtimestamp(before_s, clock.tzinfo).date()
    found_s = _seconds(day, clock)
    return found_s if found_s <= before_s else _seconds(day - timedelta(days=1), clock)


def _next_s(clock: time, after_s: float) -> float:
    """Return the next moment of a time of day that is after another moment."""
    day = datetime.fromtimestamp(after_s, clock.tzinfo).date()
    found_s = _seconds(day, clock)
    return found_s if found_s > after_s else _seconds(day + timedelta(days=1), clock)
