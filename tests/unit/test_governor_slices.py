"""What keeps recordings within their overhead where no function can be switched off: time slices."""

from __future__ import annotations

import re

import pytest
from execd.errors import AgentSilent, CollectorRefused
from execd.sessions.slicing import LEAST_SHARE, MOST_SHARE, Slicing, next_share
from governed import LIMIT, Rounds, Target

OLD = "3.11.7"
# What the calls of a governed target add there, and a fifth of them.
FULL, FIFTH = 3_000_000, 600_000


def test_the_share_of_the_time_follows_the_limit_and_is_never_all() -> None:
    rounds = Rounds(target := Target(version=OLD))
    rounds.pass_(2.0, FULL)
    (share,) = target.shares
    # 330 ms of a second are added without, 138 ms are 80% of the limit.
    assert share == pytest.approx(0.138 / 0.33, rel=0.02)
    rounds.pass_(20.0, FULL)
    assert (target.shares, target.asked, list(target.running)) == ([share], [], ["s1"])
    assert target.armed.gauge.recorded == share
    # With less to tell it is recorded for longer, in steps, and never whole.
    rounds.pass_(20.0, FIFTH)
    assert target.shares == [share, min(2 * share, MOST_SHARE), MOST_SHARE]
    rounds.pass_(20.0, FULL)
    assert target.shares[-1] == pytest.approx(share, rel=0.02)
    assert list(target.running) == ["s1"]


def test_that_nothing_was_recorded_is_no_reason_to_record_more() -> None:
    rounds = Rounds(target := Target(version=OLD))
    target.slices = 0
    rounds.pass_(2.0, FULL)
    rounds.pass_(20.0, 0)
    assert len(target.shares) == 1


def test_where_even_the_least_slices_cost_too_much_it_ends() -> None:
    rounds = Rounds(target := Target(version=OLD, limit=0.001))
    rounds.pass_(30.0, FULL)
    assert target.shares == [LEAST_SHARE]
    assert "recording calls added" in rounds.reason
    added = re.search(r"recording calls added ([0-9.]+)%", rounds.reason)
    assert added
    assert float(added[1]) > 0.1
    assert "may add 0.1%; it does so in time slices of 1% of the time" in rounds.reason


def test_what_switching_takes_is_part_of_what_is_added() -> None:
    rounds = Rounds(target := Target(version=OLD))
    target.switching_more_ns = 3_000_000_000
    rounds.pass_(30.0, FULL)
    assert target.shares == sorted(target.shares, reverse=True)
    assert target.shares[-1] == LEAST_SHARE
    assert "time slices of 1% of the time" in rounds.reason


def test_a_refusal_of_slices_ends_a_session_with_its_reason() -> None:
    rounds = Rounds(target := Target(version=OLD))

    def refuse(_share: float) -> object:
        raise CollectorRefused("not here", remedy="none")

    target.sliced = refuse  # type: ignore[method-assign]
    rounds.pass_(3.0, FULL)
    assert "not here" in rounds.reason
    assert "recording calls added 49%" in rounds.reason


def test_where_another_recording_joins_one_within_its_limit_it_goes_on_in_full() -> None:
    rounds = Rounds(target := Target(version=OLD))
    rounds.pass_(4.0, FULL)
    answer, (share,) = target.sliced, target.shares

    def refuse(_share: float) -> object:
        raise CollectorRefused("not alone", remedy="none")

    target.sliced = refuse  # type: ignore[method-assign]
    target.shares.clear()
    # In full it costs less than its limit by now.
    rounds.pass_(4.0, FIFTH)
    assert (list(target.running), target.armed.slicing, target.armed.gauge.recorded) == (["s1"], None, 1.0)
    target.sliced = answer  # type: ignore[method-assign]
    rounds.pass_(4.0, FULL)
    # The second in which it was alone again was half of one in which there was less to do.
    assert target.shares[-1] == pytest.approx(share, rel=0.02)
    assert list(target.running) == ["s1"]


def test_a_join_ends_one_only_when_it_is_above_its_limit_in_full() -> None:
    rounds = Rounds(target := Target(version=OLD))
    rounds.pass_(4.0, FULL)

    def refuse(_share: float) -> object:
        raise CollectorRefused("not alone", remedy="none")

    target.sliced = refuse  # type: ignore[method-assign]
    rounds.pass_(1.0, FULL)
    assert (list(target.running), target.armed.slicing) == (["s1"], None)
    target.shares.clear()
    rounds.pass_(3.0, FULL)
    assert "recording calls added 49%" in rounds.reason
    assert "may add 20%; not alone" in rounds.reason


def test_a_silent_agent_is_not_asked_again_until_it_says_something() -> None:
    rounds = Rounds(target := Target(version=OLD))
    answer, asked = target.sliced, []

    def say_nothing(share: float) -> object:
        asked.append(share)
        target.link.channel.has_news = lambda: False
        raise AgentSilent("process 7 does not answer", remedy="wait")

    target.sliced = say_nothing  # type: ignore[method-assign]
    rounds.pass_(5.0, FULL)
    # It may be in slices by now: its answer is late.
    assert (len(asked), target.silent) == (1, True)
    assert target.armed.slicing == Slicing(asked[0])
    assert target.armed.gauge.recorded == asked[0]
    target.shares.append(asked[0])
    rounds.pass_(3.0, FULL)
    target.sliced = answer  # type: ignore[method-assign]
    target.link.channel.has_news = lambda: True
    rounds.pass_(4.0, FULL)
    assert target.shares == asked
    assert target.armed.gauge.recorded == target.shares[-1] < 1.0


def test_what_slices_cost_is_told_of_as_long_as_it_takes_to_tell() -> None:
    rounds = Rounds(target := Target(version=OLD, limit=0.002))
    rounds.pass_(12.0, FIFTH)
    told = target.armed.gauge.now()
    assert target.armed.slicing.share < 0.05
    assert told.span_s >= target.armed.slicing.span_s * 0.9 > 1.0


@pytest.mark.parametrize("said", [None, -1, "many", 1 << 70, True])
def test_what_is_no_count_counts_as_nothing(said: object) -> None:
    rounds = Rounds(target := Target(version=OLD))
    target.sliced = lambda share: target.shares.append(share) or {"switching_ns": said, "slices": said}  # type: ignore[func-returns-value,method-assign]
    rounds.pass_(2.0, FULL)
    assert target.armed.slicing == Slicing(target.shares[0], 0, 0)


@pytest.mark.parametrize(
    ("share", "added", "expected"),
    [
        (1.0, 0.4, 0.1379 / 0.2857),
        (0.5, 0.16, 0.5),
        (0.5, 0.09, 0.5),
        (0.1, 0.02, 0.2),
        (0.6, 0.0, MOST_SHARE),
        (0.02, 4.0, LEAST_SHARE),
        (LEAST_SHARE, 0.21, None),
    ],
)
def test_the_next_share_aims_below_the_limit(share: float, added: float, expected: float | None) -> None:
    found = next_share(share, added, LIMIT)
    assert found == (None if expected is None else pytest.approx(expected, rel=0.01))


def test_fewer_slices_are_looked_at_for_longer() -> None:
    assert [Slicing(share).span_s for share in (0.9, 0.1, 0.01)] == [1.0, 1.0, 5.0]
