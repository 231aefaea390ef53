"""The log of a trace: what each follower gets, what is kept, and that nothing is missing without a mark."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from call_trees import header
from execd.attach.table import TABLE_BYTES
from execd.errors import ProfileCorrupt
from execd.model.collector import TraceKind
from execd.sessions.stream import log as stream_log
from execd.sessions.stream.feed import Feed
from traces import PID, batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execd.model.profile import Profile
    from execd.sessions.stream.log import EventLog

AT_ONCE = 0.0
LIMIT_S = 10.0


def lines(start: int, count: int) -> list[tuple[int, int, int]]:
    """So many lines, numbered, a nanosecond after each other."""
    return [(number - start, number + 1, 0) for number in range(start, start + count)]


def accepted(feed: Feed, events: list[tuple[int, int, int]], **facts: Any) -> int:
    return feed.accept(batch(events, **{"first": feed.received, **facts}), PID, TABLE_BYTES)


@pytest.fixture
def feed() -> Feed:
    """A feed with one session."""
    made = Feed({}, PID)
    made.open("s1", 100.0)
    return made


def followed(log: EventLog, number: int = 0) -> Iterator[tuple[list[int], int]]:
    """What a follower gets at each look, without waiting: lines, with 0 for marks, and how many are missing."""
    while (rows := log.after(number, 100, AT_ONCE)) is not None:
        found = zip(rows.kinds, rows.locations, strict=True)
        shown = [0 if kind == TraceKind.LOST else log.locations[location].line for kind, location in found]
        yield shown, sum(rows.lost(number))
        number = rows.ends[-1]


def totals(profile: Profile) -> tuple[int, int]:
    kinds = profile.column("kind").tolist()
    return len(kinds) - kinds.count(TraceKind.LOST), sum(profile.column("lost"))


def small_log(monkeypatch: pytest.MonkeyPatch, feed: Feed) -> EventLog:
    """A log of a session that keeps 20 events, in parts of 10."""
    monkeypatch.setattr(stream_log, "PART_EVENTS", 10)
    log = feed.logs["s1"] = stream_log.EventLog(lambda _file, _line: "", limit=20)
    return log


def test_a_follower_gets_all_events_in_their_order(feed: Feed) -> None:
    accepted(feed, lines(0, 150))
    accepted(feed, lines(150, 30))
    shown = [line for piece, _ in followed(feed.logs["s1"]) for line in piece]
    assert shown == list(range(1, 181))


def test_lost_events_count_where_their_mark_stands(feed: Feed) -> None:
    accepted(feed, [(0, 7, 0), (1, 0, 41), (2, 8, 0)])
    assert list(followed(feed.logs["s1"])) == [([7, 0, 8], 41)]
    assert feed.logs["s1"].produced == 43


def test_a_follower_that_is_late_gets_one_mark_and_then_what_is_kept(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = small_log(monkeypatch, feed)
    for start in range(0, 60, 10):
        accepted(feed, lines(start, 10))
    mark, *rest = followed(log, number=3)
    assert mark == ([0], 37)
    assert [line for piece, _ in rest for line in piece] == list(range(41, 61))


def test_a_profile_keeps_the_latest_and_says_what_it_left_out(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    small_log(monkeypatch, feed)
    for start in range(0, 60, 10):
        accepted(feed, [*lines(start, 9), (9, 0, 5)])
    profile = feed.profile("s1", header())
    assert totals(profile) == (18, 6 * 14 - 18)
    assert profile.header.lost == {"events older than those that are kept": 56, "events that came too fast": 10}
    assert profile.header.started_at == 100.0


def test_what_is_sent_again_is_not_taken_twice(feed: Feed) -> None:
    assert accepted(feed, lines(0, 5)) == 5
    assert accepted(feed, lines(0, 8), first=0) == 3
    assert totals(feed.profile("s1", header())) == (8, 0)


@pytest.mark.parametrize("first", [6, 20])
def test_events_that_are_missing_in_between_break_the_protocol(feed: Feed, first: int) -> None:
    accepted(feed, lines(0, 5))
    with pytest.raises(ProfileCorrupt, match="where number 5 comes next"):
        accepted(feed, lines(0, 5), first=first)


def test_a_session_that_begins_later_hears_of_later_events_and_its_own_time(feed: Feed) -> None:
    accepted(feed, lines(0, 5), now_ns=1_000)
    feed.open("s2", 200.0)
    accepted(feed, [(0, 9, 0)], base_ns=1_500)
    profile = feed.profile("s2", header())
    assert (totals(profile), profile.column("time_ns").tolist()) == ((1, 0), [500])


def test_names_without_end_are_refused(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_log, "_MAX_NAMES", 50)
    with pytest.raises(ProfileCorrupt, match="more names"):
        accepted(feed, lines(0, 60))


def test_threads_beyond_the_limit_are_one(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_log, "_MAX_LABELS", 3)
    for number in range(6):
        accepted(feed, lines(0, 1), thread=f"t{number}")
    profile = feed.profile("s1", header())
    assert [label.thread_name for label in profile.labels] == ["t0", "t1", "(further threads)"]
    assert profile.node_labels.tolist() == [0, 1, 2, 2, 2, 2]


def test_a_follower_is_woken_by_events_and_by_the_end(feed: Feed) -> None:
    log, got = feed.logs["s1"], list[int]()

    def follow() -> None:
        for number in (0, 1):
            rows = log.after(number, 10, LIMIT_S)
            got.append(-1 if rows is None else len(rows))

    began = time.monotonic()
    follower = threading.Thread(target=follow)
    follower.start()
    accepted(feed, lines(0, 1))
    feed.close("s1")
    follower.join(LIMIT_S)
    assert got == [1, -1]
    assert time.monotonic() - began < LIMIT_S
    assert log.is_over


def test_many_followers_each_have_their_own_speed(feed: Feed) -> None:
    log = feed.logs["s1"]
    accepted(feed, lines(0, 10))
    fast = log.after(0, 8, AT_ONCE)
    slow = log.after(0, 2, AT_ONCE)
    assert fast is not None
    assert slow is not None
    assert (list(fast.ends)[-1], list(slow.ends)[-1]) == (8, 2)
    rest = log.after(2, 100, AT_ONCE)
    assert rest is not None
    assert len(rest) == 8


@pytest.mark.parametrize(
    ("options", "caveats"),
    [
        ({}, ()),
        ({"function": "no*"}, ("nothing ran in a function called like 'no*'",)),
        (
            {"function": "f", "thread": "w-1"},
            ("nothing ran in a function called like 'f' in a thread of the name or number 'w-1'",),
        ),
    ],
)
def test_an_empty_trace_says_what_it_was_of(options: dict[str, object], caveats: tuple[str, ...]) -> None:
    made = Feed(options, PID)
    made.open("s1", 0.0)
    assert made.profile("s1", header()).header.caveats == (*header().caveats, *caveats)
