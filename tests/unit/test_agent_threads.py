"""The calls collector and threads, under every interpreter: each thread's calls are exact, whenever it began."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from agent_drivers import Counts, by_name, calls_by_thread, paths, profile_of
from execd.model.filter import where

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from interpreters import Interpreter

CALLS = 100
THREADS = 4


@pytest.fixture(params=["python", "native"])
def drivers(drivers: Drivers, request: pytest.FixtureRequest) -> Drivers:
    """Drivers whose calls are recorded in either form: what is recorded is the same."""
    return drivers.in_form(request.param)


def test_threads_that_ran_before_are_recorded_each_for_itself(drivers: Drivers, interpreter: Interpreter) -> None:
    profile = profile_of(drivers.run(interpreter, "threading_on", "old_threads", THREADS, CALLS)["table"])
    steps = {f"worker-{index}": CALLS * (index + 1) for index in range(THREADS)}
    assert calls_by_thread(profile, "step") == steps
    assert calls_by_thread(profile, "part") == {name: 2 * calls for name, calls in steps.items()}
    assert calls_by_thread(profile, "work") == dict.fromkeys(steps, 1)
    assert by_name(profile)["step"].primitive == sum(steps.values())


def test_threads_started_later_are_recorded_from_their_first_call(drivers: Drivers, interpreter: Interpreter) -> None:
    profile = profile_of(drivers.run(interpreter, "threading_on", "new_threads", THREADS, CALLS)["table"])
    steps = {f"fresh-{index}": CALLS * (index + 1) for index in range(THREADS)}
    assert calls_by_thread(profile, "step") == steps
    assert calls_by_thread(profile, "part") == {name: 2 * calls for name, calls in steps.items()}


def test_many_threads_in_turn_lose_no_call_when_the_ended_are_merged(
    drivers: Drivers, interpreter: Interpreter
) -> None:
    threads = 300
    result = drivers.run(interpreter, "threading_on", "one_after_another", threads, 3)
    profile = profile_of(result["table"])
    found = calls_by_thread(profile, "step")
    assert set(found) == {"request", "(ended threads)"}
    assert sum(found.values()) == threads * 3
    assert len(profile.labels) < 200
    assert sum(calls_by_thread(profile, "part").values()) == threads * 6


def test_a_thread_that_is_started_later_has_its_own_time_and_nothing_open(
    drivers: Drivers, interpreter: Interpreter
) -> None:
    """Its number, and on old versions its outermost frame, may be those of one that ran before."""
    result = drivers.run(interpreter, "threading_on", "late_threads", THREADS, CALLS, 100)
    profile = profile_of(result["table"])
    for index, lived_ns in enumerate(result["lives_ns"]):
        late = where(profile, lambda label, name=f"late-{index}": label.thread_name == name)  # type: ignore[misc]
        assert sum(late.column("open")) == 0
        assert 0 < sum(late.column("self_ns")) <= lived_ns


def test_threads_that_the_threading_module_does_not_know_are_found_one_after_the_other(
    drivers: Drivers, interpreter: Interpreter
) -> None:
    """The number of a thread that ended is given to the next: it must not be taken for one that is recorded."""
    threads = 5
    result = drivers.run(interpreter, "threading_on", "bare_threads", threads, CALLS)
    profile = profile_of(result["table"])
    assert by_name(profile)["step"] == Counts(threads * CALLS, threads * CALLS)
    assert by_name(profile)["part"] == Counts(threads * 2 * CALLS, threads * 2 * CALLS)


def test_threads_that_come_where_the_one_before_was_are_each_for_itself(
    drivers: Drivers, interpreter: Interpreter
) -> None:
    if tuple(map(int, interpreter.version.split("."))) < (3, 12):
        pytest.skip("threads that nobody heard of are found later there")
    threads = 5
    profile = profile_of(drivers.run(interpreter, "threading_on", "started_unheard", threads, CALLS)["table"])
    steps = [0] * len(profile.labels)
    for node, label in enumerate(profile.node_labels):
        if profile.functions[profile.function_of(node)].name == "step":
            steps[label] += profile.column("calls")[node]
    assert [calls for calls in steps if calls] == [CALLS] * threads


def test_a_thread_without_an_event_is_there_with_its_open_frames(drivers: Drivers, interpreter: Interpreter) -> None:
    profile = profile_of(drivers.run(interpreter, "threading_on", "silent", CALLS)["table"])
    opened = {path for path in paths(profile, "open") if "_bootstrap" in path}
    assert any(path[-1] == "serve" or path[-2:] == ("serve", "acquire") for path in opened)
    assert {label.thread_name for label in profile.labels} == {"MainThread", "worker-0"}
    assert calls_by_thread(profile, "step") == {"MainThread": CALLS}


def test_the_agents_own_thread_is_not_recorded(drivers: Drivers, interpreter: Interpreter) -> None:
    profile = profile_of(drivers.run(interpreter, "threading_on", "old_threads", THREADS, CALLS)["table"])
    assert {label.thread_name for label in profile.labels} == {
        "MainThread",
        *(f"worker-{index}" for index in range(THREADS)),
    }


def test_a_snapshot_is_sound_while_threads_go_on(drivers: Drivers, interpreter: Interpreter) -> None:
    """Threads get the GIL while a snapshot is made, so that some have events that are younger than it."""
    result = drivers.run(interpreter, "threading_on", "snapshots_of_busy_threads", 3, 20)
    profiles = [profile_of(table) for table in (*result["tables"], result["table"])]
    steps = [by_name(profile).get("step", Counts(0, 0)).calls for profile in profiles]
    assert steps == sorted(steps)
    assert steps[-1] == 2_000 * (1 + 2 + 3)
