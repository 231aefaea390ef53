"""Spans of time as users write them: by their clock, over midnight, over a change of the clocks."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from execctl.moments import parse_span_s

if TYPE_CHECKING:
    from collections.abc import Iterator

# In words, for a machine may know no zones; 13:20 there.
ZONE = "CET-1CEST,M3.5.0,M10.5.0/3"
NOON = datetime(2026, 11, 20, 12, 20, tzinfo=UTC).timestamp()


@pytest.fixture(autouse=True)
def _zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", ZONE)
        time.tzset()
        yield
    time.tzset()


def span(first: str, last: str, now_s: float = NOON) -> list[str]:
    """Return a span in UTC."""
    return [f"{datetime.fromtimestamp(one, UTC):%m-%d %H:%M:%S}" for one in parse_span_s(first, last, now_s)]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("13:02", "13:05", ["11-20 12:02:00", "11-20 12:05:00"]),
        ("13:02:30", "13:05:15.5", ["11-20 12:02:30", "11-20 12:05:15"]),
        # It goes on: the end is still to come.
        ("13:02", "13:30", ["11-20 12:02:00", "11-20 12:30:00"]),
        # None such today yet: yesterday's.
        ("18:00", "18:05", ["11-19 17:00:00", "11-19 17:05:00"]),
        ("23:58", "00:03", ["11-19 22:58:00", "11-19 23:03:00"]),
        ("2026-11-17T23:58", "00:03", ["11-17 22:58:00", "11-17 23:03:00"]),
        ("2026-11-17 10:02", "2026-11-18T10:02", ["11-17 09:02:00", "11-18 09:02:00"]),
        ("10:02", "2026-11-17T10:05", ["11-17 09:02:00", "11-17 09:05:00"]),
        ("23:58", "2026-11-17T00:03", ["11-16 22:58:00", "11-16 23:03:00"]),
        ("12:02Z", "12:05Z", ["11-20 12:02:00", "11-20 12:05:00"]),
        ("17:32+05:30", "17:35+05:30", ["11-20 12:02:00", "11-20 12:05:00"]),
    ],
)
def test_a_span_is_of_the_users_clock(first: str, last: str, expected: list[str]) -> None:
    assert span(first, last) == expected


def test_shortly_after_midnight_the_evening_is_yesterdays() -> None:
    now_s = datetime(2026, 11, 19, 23, 10, tzinfo=UTC).timestamp()
    assert span("23:50", "00:05", now_s) == ["11-19 22:50:00", "11-19 23:05:00"]
    assert span("00:02", "00:05", now_s) == ["11-19 23:02:00", "11-19 23:05:00"]


def test_a_day_of_25_hours_has_its_own_hours() -> None:
    now_s = datetime(2026, 10, 25, 11, 0, tzinfo=UTC).timestamp()
    assert span("01:30", "03:30", now_s) == ["10-24 23:30:00", "10-25 02:30:00"]


@pytest.mark.parametrize(
    ("first", "last", "why"),
    [
        ("4711", "10:05", "'4711' is no time"),
        ("10", "11", "'10' is no time"),
        ("10:02", "", "'' is no time"),
        ("10:02", "24:30", "there is no time '24:30'"),
        ("2026-02-30T10:02", "10:05", "there is no time '2026-02-30T10:02'"),
        ("10:02", "10:02", "'10:02' is not after '10:02'"),
        ("2026-11-18T10:02", "2026-11-17T10:05", "is not after"),
    ],
)
def test_what_is_no_span_is_refused(first: str, last: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_span_s(first, last, NOON)
