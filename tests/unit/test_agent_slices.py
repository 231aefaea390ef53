"""Recordings in time slices: what is counted and timed is of the slices, and nothing of a pause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from agent_drivers import Counts, by_name, paths, profile_of
from execd.model.timeslices import slices_in

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from execd.model.profile import Profile
    from interpreters import Interpreter

MONITORS = (3, 12)
# On a machine that has other things to do: what is known of a share within.
LEAST, MOST = 1 / 5, 5.0


@pytest.fixture
def native(drivers: Drivers) -> Drivers:
    """Drivers of the native form, which alone can do it."""
    return drivers.in_form("native")


@pytest.fixture
def without_monitoring(interpreter: Interpreter) -> Interpreter:
    if interpreter.version_info >= MONITORS:
        pytest.skip("functions are switched off")
    return interpreter


def times_in(profile: Profile, name: str) -> int:
    """The time of what has a name, and of all below it, in all threads, ns."""
    return sum(ns for path, ns in paths(profile, "self_ns").items() if name in path)


def calls_in_threads(profile: Profile, name: str) -> dict[str, int]:
    """How often a function was called, by the names of threads."""
    found: dict[str, int] = {}
    rows = zip(range(len(profile.parents)), profile.column("calls"), profile.node_labels, strict=True)
    for node, calls, label in rows:
        if profile.functions[profile.function_of(node)].name == name:
            thread = profile.labels[label].thread_name
            found[thread] = found.get(thread, 0) + calls
    return found


@pytest.mark.parametrize("stop_in_pause", [0, 1])
def test_calls_in_slices_count_once_and_calls_in_pauses_do_not(
    native: Drivers, without_monitoring: Interpreter, stop_in_pause: int
) -> None:
    result = native.run(without_monitoring, "slicing", "counted", stop_in_pause)
    profile = profile_of(result["table"])
    counted, made = by_name(profile), paths(profile, "calls")
    # Of `inner` the first one and the third began in a pause.
    assert (counted["outer"], counted["inner"]) == (Counts(1, 1), Counts(1, 1))
    own = {path[path.index("outer") :]: calls for path, calls in made.items() if "outer" in path and "do" not in path}
    assert own["outer", "short"] == 3
    assert own["outer", "inner", "short"] == 5 + 7 + 11
    assert own["outer", "inner", "short", "leaf"] == 5 + 7 + 11
    assert counted["leaf"] == Counts(26, 26)
    # Those that ran when the recording began, once each; none of those that ran when a slice did.
    opened = paths(profile, "open")
    assert {path[-1] for path, count in opened.items() if count} == {"<module>", "serve", "counted", "start", "do"}
    assert max(opened.values()) == 1
    assert result["caveats"] == []
    assert len(slices_in(profile.header)) == 1


def test_time_in_pauses_is_nobodys(native: Drivers, without_monitoring: Interpreter) -> None:
    result = native.run(without_monitoring, "slicing", "timed")
    profile = profile_of(result["table"])
    heard, missed = result["heard_ns"], result["missed_ns"]
    assert heard * 0.9 <= times_in(profile, "pause") <= result["spent_ns"] - missed
    assert times_in(profile, "outer") <= result["spent_ns"] - missed
    (told,) = slices_in(profile.header)
    assert heard * 0.9 <= told.recorded_s * 1e9 <= result["spent_ns"] - missed
    assert told.missed_s > 0


def test_a_c_function_that_runs_on_has_its_time_of_the_next_slice(
    native: Drivers, without_monitoring: Interpreter
) -> None:
    result = native.run(without_monitoring, "slicing", "c_function")
    profile = profile_of(result["table"])
    spent = {path[-2:]: ns for path, ns in paths(profile, "self_ns").items() if "outer" in path}
    acquire = "<method 'acquire' of '_thread.lock' objects>"
    assert result["heard_ns"] * 0.9 <= spent["do", acquire] <= result["span_ns"] - 300_000_000
    assert by_name(profile)["short"] == Counts(1, 1)


def test_threads_that_wait_or_begin_in_pauses_are_there_from_the_next_slice_on(
    native: Drivers, without_monitoring: Interpreter
) -> None:
    result = native.run(without_monitoring, "slicing", "threads")
    profile = profile_of(result["table"])
    called = calls_in_threads(profile, "short")
    assert {name: count for name, count in called.items() if count} == {"in pause": 1, "in slice": 2}
    assert sum(calls_in_threads(profile, "other").values()) == 0
    idle = [label for label, one in enumerate(profile.labels) if one.thread_name == "idle"]
    rows = zip(profile.node_labels, profile.column("self_ns"), strict=True)
    waited = sum(ns for label, ns in rows if label in idle)
    assert result["heard_ns"] * 0.9 <= waited <= result["span_ns"]


def test_in_a_pause_no_thread_has_a_profile_function(native: Drivers, without_monitoring: Interpreter) -> None:
    result = native.run(without_monitoring, "slicing", "slots")
    # At the start; in a pause, a slice, a pause in which somebody looks at the threads; at the end.
    assert result["seen"] == [[True, True], [False, False], [True, True], [False, False], [False, False]]
    assert result["caveats"] == []


@pytest.mark.parametrize("in_pause", [0, 1])
def test_a_child_that_is_forked_has_nothing_of_it(
    native: Drivers, without_monitoring: Interpreter, in_pause: int
) -> None:
    result = native.run(without_monitoring, "slicing", "forked", in_pause)
    assert result["status"] == 0
    assert by_name(profile_of(result["table"]))["short"] == Counts(9, 9)
    assert result["caveats"] == []


def test_another_recording_hears_all_and_ends_the_slices(native: Drivers, without_monitoring: Interpreter) -> None:
    result = native.run(without_monitoring, "slicing", "joined")
    for table in (result["table"], result["second"]):
        assert by_name(profile_of(table))["short"] == Counts(9, 9)
    (why,) = result["said"]
    assert why.startswith("another recording hears the same events")
    assert result["caveats"] == []


@pytest.mark.parametrize("has_event", [0, 1])
def test_a_thread_that_is_given_the_number_of_one_that_ended_unheard_is_another(
    native: Drivers, without_monitoring: Interpreter, has_event: int
) -> None:
    result = native.run(without_monitoring, "slicing_amiss", "reused", has_event)
    assert result["is_same"]
    profile = profile_of(result["table"])
    assert sum(calls_in_threads(profile, "short").values()) == has_event
    assert calls_in_threads(profile, "short").get("second", 0) == has_event
    second = [label for label, one in enumerate(profile.labels) if one.thread_name == "second"]
    rows = zip(profile.node_labels, profile.column("self_ns"), strict=True)
    assert sum(ns for label, ns in rows if label in second) >= result["heard_ns"] * 0.9


def test_a_pause_in_which_something_is_asked_is_nobodys(native: Drivers, without_monitoring: Interpreter) -> None:
    result = native.run(without_monitoring, "slicing_amiss", "asked_late")
    profile = profile_of(result["table"])
    assert by_name(profile)["other"] == Counts(1, 1)
    assert times_in(profile, "asked_late") <= result["span_ns"] - result["missed_ns"]
    assert times_in(profile, "other") <= result["spent_ns"] - result["missed_ns"]


def test_a_slice_that_goes_on_is_part_of_what_is_recorded(native: Drivers, without_monitoring: Interpreter) -> None:
    result = native.run(without_monitoring, "slicing_amiss", "running")
    (told,) = slices_in(profile_of(result["table"]).header)
    assert result["heard_ns"] * 0.9 <= told.recorded_s * 1e9 <= result["span_ns"]


def test_that_nothing_more_can_be_recorded_is_told(native: Drivers, without_monitoring: Interpreter) -> None:
    broken = native.run(without_monitoring, "slicing_amiss", "audited")["broken"]
    assert broken.startswith("its time slices have ended: another recording hears the same events, or audit hooks")


def test_what_is_no_share_is_refused_and_from_312_on_all_is(native: Drivers, interpreter: Interpreter) -> None:
    result = native.run(interpreter, "slicing", "refused")
    if interpreter.version_info >= MONITORS:
        assert set(result["said"]) == {"from 3.12 on there are no time slices: functions can be switched off"}
    else:
        assert [one.split(":")[0] for one in result["said"]] == [
            "time slices of 0 of the time",
            "time slices of 1 of the time",
        ]
    profile = profile_of(result["table"])
    assert by_name(profile)["short"] == Counts(1, 1)
    assert slices_in(profile.header) == []


def rates(result: dict[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Which share of its calls, and of its time, each function has in the slices."""
    profile = profile_of(result["table"])
    tallies = dict(zip(("often", "seldom"), result["tallies"], strict=True))
    calls = {name: by_name(profile)[name].calls / count for name, (count, _) in tallies.items()}
    return calls, {name: times_in(profile, name) / ns for name, (_, ns) in tallies.items()}


@pytest.mark.parametrize("threads", [0, 30])
def test_shares_of_functions_among_each_other_stay_as_they_are(
    native: Drivers, without_monitoring: Interpreter, threads: int
) -> None:
    result = native.run(without_monitoring, "slicing", "shared", 15, 20, threads)
    # Of those that there should be: where the machine has other things to do.
    assert result["slices"] >= 5
    (told,) = slices_in(profile_of(result["table"]).header)
    calls, times = rates(result)
    assert LEAST < calls["often"] / calls["seldom"] < MOST
    assert LEAST < times["often"] / times["seldom"] < MOST
    # Of what its own counters say, and its own clock.
    assert all(0 < one < 0.9 for one in (*calls.values(), *times.values()))
    assert 0 < told.share < 0.9
