"""What keeps recordings within their overhead: by what the tables say, whatever a target answers."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from counted_tables import IS_C
from execd.errors import AgentSilent, AttachBusy, CollectorRefused, ProfileCorrupt, UsageError
from execd.model.overhead import Counts, Look
from execd.sessions.governor import Governor, Watch
from execd.sessions.overhead import limit_of
from footprint import becomes
from governed import LIMIT, PRICES, Registry, Rounds, Target

PATIENCE_S = 30.0


def off(target: Target) -> list[str]:
    return [one.name for one in target.gauge.switched_off()]


def test_short_functions_are_switched_off_and_told_with_what_they_had() -> None:
    rounds = Rounds(target := Target())
    rounds.pass_(4.0)
    assert (target.asked, off(target), list(target.running)) == ([[1]], ["step1"], ["s1"])
    (told,) = target.gauge.switched_off()
    assert (told.calls, told.mean_ns, told.limit) == (target.calls[0], 200, LIMIT)
    assert target.armed.extra["switched_off"]


def test_functions_that_a_silent_agent_switches_off_later_are_told() -> None:
    rounds = Rounds(target := Target())

    def say_nothing(_functions: list[int]) -> object:
        target.link.channel.has_news = lambda: False
        raise AgentSilent("process 7 does not answer", remedy="wait")

    target.answer = say_nothing
    rounds.pass_(1.5)
    assert (target.asked, target.silent, off(target)) == ([[1]], True, [])
    rounds.pass_(2.0)
    # Nobody asks one that says nothing; then it obeys.
    assert len(target.asked) == 1
    target.off.add(1)
    assert off(target) == ["step1"]
    target.link.channel.has_news = lambda: True
    rounds.pass_(4.0)
    assert (off(target), list(target.running), target.session.breach) == (["step1"], ["s1"], "")


def test_only_what_was_asked_and_is_off_is_told_once() -> None:
    rounds = Rounds(target := Target())

    def lie(functions: list[int]) -> object:
        target.obey([*functions, 2])
        return [2, 2, 7, *functions * 5000]

    target.answer = lie
    rounds.pass_(4.0)
    assert off(target) == ["step1"]


def test_a_session_ends_where_nothing_is_switched_off_whatever_is_answered() -> None:
    rounds = Rounds(target := Target())
    target.answer = list
    rounds.pass_(3.0)
    assert off(target) == []
    assert "recording calls added" in rounds.reason
    assert "no function that is left is short enough" in rounds.reason


def test_a_refusal_ends_a_session_with_its_reason() -> None:
    rounds = Rounds(target := Target())

    def refuse(_functions: list[int]) -> object:
        raise CollectorRefused("not here", remedy="none")

    target.answer = refuse
    rounds.pass_(3.0)
    assert "not here" in rounds.reason


def test_where_calls_of_c_functions_are_left_the_reason_says_so() -> None:
    rounds = Rounds(target := Target())
    target.kinds = {1: IS_C, 2: IS_C}
    rounds.pass_(4.0, said={"prices": {**PRICES["prices"], "c": 100.0}})
    assert target.asked == []
    assert "most of what is left is calls of C functions" in rounds.reason
    assert "--no-builtins" in rounds.reason


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        (Counts(c=16_000, python=16_000, uncounted=8_000_000), "told at the places of calls, of functions that are s"),
        (Counts(c=16_000, uncounted=15_000), "calls of C functions"),
        (Counts(c=16_000, python=900_000, uncounted=916_000), "no function that is left is short enough"),
    ],
)
def test_what_is_left_when_nothing_can_be_switched_off_is_what_most_events_are_of(counts: Counts, why: str) -> None:
    watch = Watch(LIMIT)
    watch.add(Look(0.0, 0, Counts()), None)
    watch.add(Look(1.0, 10**9, counts), None)
    assert why in watch.why_nothing_to_switch_off()


def test_looks_that_come_late_are_waited_for() -> None:
    rounds = Rounds(target := Target())
    target.failing = AttachBusy("it changes its tables all the time", remedy="try again")
    rounds.pass_(2.0)
    target.failing = None
    rounds.pass_(4.0)
    assert (off(target), list(target.running)) == (["step1"], ["s1"])


@pytest.mark.parametrize(
    ("target", "said", "why"),
    [
        (Target(maps=False), PRICES, "the tables that it records in cannot be read"),
        (Target("python", maps=False), {**PRICES, "counts": None}, "too many places to count its events"),
        (Target(), {"prices": {}}, "what an event costs could not be measured"),
        (Target("python", maps=False), {}, "what an event costs could not be measured"),
    ],
    ids=["unmapped", "large", "unpriced", "silent-of-costs"],
)
def test_a_limit_of_what_is_not_known_ends_the_session(target: Target, said: object, why: str) -> None:
    rounds = Rounds(target)
    rounds.pass_(4.0, said=said)
    assert target.running
    rounds.pass_(4.0, said=said)
    assert "is not known" in rounds.reason
    assert why in rounds.reason


def test_tables_that_are_garbage_end_the_session_of_a_limit() -> None:
    rounds = Rounds(target := Target())
    target.failing = ProfileCorrupt("garbage")
    rounds.pass_(8.0)
    assert "garbage" in rounds.reason


def test_the_python_form_ends_above_its_limit_by_what_its_agent_counts() -> None:
    rounds = Rounds(target := Target("python", maps=False))
    for number in range(4):
        rounds.pass_(1.0, said={**PRICES, "counts": {"python": number * 3_000_000}})
    assert not target.asked
    assert "the python form switches no functions off" in rounds.reason


def test_a_target_that_is_held_up_waits_for_the_next_round() -> None:
    rounds = Rounds(target := Target())
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with target.lock:
            held.set()
            over.wait(PATIENCE_S)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(PATIENCE_S)
    rounds.pass_(3.0)
    assert not target.asked
    over.set()
    holder.join()
    rounds.pass_(1.0)
    assert target.asked == [[1]]


def test_a_new_recording_has_a_watch_of_its_own() -> None:
    rounds = Rounds(target := Target())
    rounds.pass_(0.5)
    ((armed, first),) = rounds.governor.watches.values()
    assert armed is target.armed
    other = Target(limit=5.0)
    target.running = other.running
    rounds.governor.round()
    ((armed, second),) = rounds.governor.watches.values()
    assert (armed is other.armed, first.limit, second.limit) == (True, LIMIT, 5.0)
    target.running = {}
    assert not rounds.governor.round()
    assert not rounds.governor.watches


def test_its_thread_is_there_while_something_has_a_limit() -> None:
    target, before = Target(limit=5.0), set(threading.enumerate())
    governor: Any = Governor(Registry(target))  # type: ignore[arg-type]
    governor.look_again()
    assert becomes(lambda: bool(governor.watches), PATIENCE_S)
    target.running.clear()
    assert becomes(lambda: not [one for one in threading.enumerate() if one not in before], PATIENCE_S)
    governor.close()


@pytest.mark.parametrize("options", [{"max_overhead": 0}, {"max_overhead": "20%"}, {"max_overhead": True}])
def test_a_limit_that_is_no_share_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="share above 0"):
        limit_of(options)


@pytest.mark.parametrize("other", [{"bias": 0.0}, {"bias": 1e-6}, {"timer": "time:time"}])
def test_a_limit_needs_prices_that_are_measured(other: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="nobody measures what an event costs"):
        limit_of({"max_overhead": 0.2, **other})
    assert limit_of(other) is None
    assert limit_of({"max_overhead": 0.2, "bias": "auto"}) == 0.2


def test_a_limit_needs_events_that_are_counted() -> None:
    options = {"max_overhead": 0.2, "exclude": ["json"]}
    with pytest.raises(UsageError, match=r"Python 3.11.7 tells of code that is left out too"):
        limit_of(options, "3.11.7")
    assert limit_of(options, "3.12.1") == limit_of({"max_overhead": 0.2}, "3.11.7") == 0.2
