"""The calls collector under every interpreter: its counts are cProfile's, whatever the program does."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from agent_drivers import Counts, by_name, counts, paths, profile_of

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from conftest import Spawn
    from execd.model.profile import Profile
    from interpreters import Interpreter

PASSES = 3
# What the driver itself does while it is measured: it waits for the agent's thread, and the oracle switches off.
OWN = ("'_thread.lock'", "'_lsprof.Profiler'", "'_thread.LockType'")
OWN_FILES = ("measuring.py", "calling.py", "oracle.py")
RECURSION = 500
BUDGET_BYTES = 4_000_000
OVER = "(calls over the memory limit)"


@pytest.fixture(params=["python", "native"])
def drivers(drivers: Drivers, request: pytest.FixtureRequest) -> Drivers:
    """Drivers whose calls are recorded in either form: what is recorded is the same."""
    return drivers.in_form(request.param)


def of_the_program(found: dict[tuple[str, int, str], Counts]) -> dict[tuple[str, int, str], Counts]:
    return {
        key: value
        for key, value in found.items()
        if key[0] not in OWN_FILES and not any(word in key[2] for word in OWN)
    }


def oracle(spawn: Spawn, interpreter: Interpreter) -> dict[tuple[str, int, str], Counts]:
    """What cProfile counts for the same work in a fresh process of the same version."""
    rows = spawn(interpreter, "oracle").ask_json(f"profile {PASSES}")
    return of_the_program(
        {(file.rpartition("/")[2], line, name): Counts(calls, primitive) for file, line, name, primitive, calls in rows}
    )


def test_calls_and_primitive_calls_are_those_of_cprofile(
    drivers: Drivers, spawn: Spawn, interpreter: Interpreter
) -> None:
    result = drivers.run(interpreter, "calling", "workload", PASSES)
    expected = oracle(spawn, interpreter)
    assert result["value"] == 334
    assert "fibonacci" in {name for _, _, name in expected}
    assert of_the_program(counts(profile_of(result["table"]))) == expected
    assert result["caveats"] == []


def test_without_builtins_the_python_functions_alone_are_counted(
    drivers: Drivers, spawn: Spawn, interpreter: Interpreter
) -> None:
    profile = profile_of(drivers.run(interpreter, "calling", "workload", PASSES, 0)["table"])
    expected = {key: value for key, value in oracle(spawn, interpreter).items() if key[0] != "~"}
    assert of_the_program(counts(profile)) == expected


def test_a_deep_recursion_is_one_primitive_call(drivers: Drivers, interpreter: Interpreter) -> None:
    result = drivers.run(interpreter, "calling", "recursion", RECURSION)
    profile = profile_of(result["table"])
    assert by_name(profile)["recurse"] == Counts(RECURSION + 1, 1)
    assert max(len(path) for path in paths(profile, "calls")) >= RECURSION + 1


def test_frames_that_run_at_the_start_are_open_and_carry_no_call(drivers: Drivers, interpreter: Interpreter) -> None:
    result = drivers.run(interpreter, "calling", "started_in_the_midst", 3)
    profile = profile_of(result["table"])
    opened = paths(profile, "open")
    main = ("<module>", "serve", "started_in_the_midst")
    assert {path: number for path, number in opened.items() if path[-1] == "bottom"} == {
        (*main, *["bottom"] * depth): 1 for depth in (1, 2, 3, 4)
    }
    # After the innermost returned, each of the others calls recurse(1), at the depth where it is.
    assert {
        path: n for path, n in paths(profile, "calls").items() if path[-1] == "recurse" and path[-2] == "bottom"
    } == {(*main, *["bottom"] * depth, "recurse"): 1 for depth in (1, 2, 3, 4)}
    assert by_name(profile)["recurse"] == Counts(3 + 3 * 2, 4)
    assert "bottom" not in by_name(profile)


def test_the_time_of_open_frames_counts_from_the_start(drivers: Drivers, interpreter: Interpreter) -> None:
    profile = profile_of(drivers.run(interpreter, "calling", "started_in_the_midst", 3)["table"])
    calls, times = paths(profile, "calls"), paths(profile, "self_ns")
    assert set(calls) <= set(times)
    assert all(value < 10**10 for value in times.values())


def test_generators_closed_early_do_not_shift_what_comes_after(drivers: Drivers, interpreter: Interpreter) -> None:
    profile = profile_of(drivers.run(interpreter, "calling", "closed_early", 4)["table"])
    assert shape(profile, "recurse") == {
        ("action", "recurse"): 4 + 1,
        ("action", "recurse", "recurse"): 1,
        ("action", "recurse", "recurse", "recurse"): 1,
        ("action", "recurse", "recurse", "recurse", "recurse"): 1,
        # The second resumption runs the body of the loop once.
        ("action", "numbers", "recurse"): 8,
        ("action", "numbers", "recurse", "recurse"): 8,
    }


def test_exceptions_through_c_functions_do_not_shift_what_comes_after(
    drivers: Drivers, interpreter: Interpreter
) -> None:
    result = drivers.run(interpreter, "calling", "exceptions_through_c", 5)
    profile = profile_of(result["table"])
    assert result["value"] == 5
    assert shape(profile, "recurse") == {("action", "recurse"): 5}
    assert shape(profile, "raising") == {("action", "through_c", "raising"): 5 * 4}
    assert shape(profile, "through_c") == {("action", "through_c"): 5}


def shape(profile: Profile, name: str) -> dict[tuple[str, ...], int]:
    """Return the calls of a function by its stack from `action` on, without C functions."""
    found: Counter[tuple[str, ...]] = Counter()
    for path, calls in paths(profile, "calls").items():
        if path[-1] == name and "action" in path:
            found[tuple(step for step in path[path.index("action") :] if step[0] != "<")] += calls
    return dict(found)


def test_what_the_memory_limit_leaves_out_is_counted_and_the_tree_is_sound(
    drivers: Drivers, interpreter: Interpreter
) -> None:
    functions, room_for = 300, 100
    result = drivers.run(interpreter, "calling", "over_the_limit", functions, room_for * 400)
    profile = profile_of(result["table"])
    assert result["value"] == 2 * functions
    assert len(profile.parents) <= room_for
    python_calls = sum(value.calls for key, value in of_the_program_here(profile).items() if key[0] != "~")
    # action, and twice for each function: nested, the function, recurse and recurse below it.
    assert python_calls + profile.header.lost["calls over the memory limit"] == pytest.approx(
        1 + 2 * functions * 4, abs=OWN_CALLS
    )
    assert counts(profile)["~", 0, OVER].calls == profile.header.lost["calls over the memory limit"]
    assert shape(profile, "nested")["action", "nested"] == 2 * functions
    assert shape(profile, "recurse")["action", "nested", "recurse"] == 2 * functions


def test_the_time_of_what_the_memory_limit_leaves_out_is_not_its_callers(
    drivers: Drivers, interpreter: Interpreter
) -> None:
    times, rest_ns = 4, 30_000_000
    profile = profile_of(drivers.run(interpreter, "calling", "rest_over_the_limit", times, 40_000)["table"])
    assert (OVER,) in paths(profile, "calls")
    # The rest, the sleep, and three of `recurse`.
    assert paths(profile, "calls")[(OVER,)] >= 5 * times
    assert paths(profile, "self_ns")[(OVER,)] >= times * rest_ns
    assert max(one for path, one in paths(profile, "self_ns").items() if path[-1] == "action") < times * rest_ns


def test_frames_that_there_is_no_room_for_are_left_and_what_follows_is_in_its_place(
    drivers: Drivers, interpreter: Interpreter
) -> None:
    depth = 300
    result = drivers.run(interpreter, "calling", "begun_over_the_limit", depth, 40_000)
    assert result["value"] == depth
    profile = profile_of(result["table"])
    opened = paths(profile, "open")
    made = sum(path[-1].startswith("made_") for path in opened)
    assert 0 < made < depth
    # And `innermost`, with two of the driver.
    assert opened[(OVER,)] == depth - made + 3
    assert not any(path[-1].startswith("made_") for path in paths(profile, "calls"))
    # Nothing of what is called later has room: it is counted, and its time goes nowhere else.
    assert paths(profile, "calls")[(OVER,)] >= 2


@pytest.mark.parametrize("growth", ["paths", "codes"])
def test_a_recording_takes_the_memory_that_it_may_and_says_so(
    drivers: Drivers, interpreter: Interpreter, growth: str
) -> None:
    result = drivers.run(interpreter, "remembering", growth, BUDGET_BYTES)
    assert 0.99 * BUDGET_BYTES <= result["accounted_bytes"] < 1.01 * BUDGET_BYTES
    # Measured 0.7 to 1.0 of it; a hash table that grows doubles.
    assert result["resident_bytes"] < 1.5 * BUDGET_BYTES


# The driver's own calls: stop, do, and the two locks.
OWN_CALLS = 8


def of_the_program_here(profile: Profile) -> dict[tuple[str, int, str], Counts]:
    return {key: value for key, value in counts(profile).items() if key[0] != "measuring.py"}


def test_snapshots_grow_while_it_goes_on(drivers: Drivers, interpreter: Interpreter) -> None:
    result = drivers.run(interpreter, "calling", "snapshots", 4)
    tables = [*result["tables"], result["table"]]
    assert [by_name(profile_of(table))["recurse"] for table in tables] == [
        Counts(2 * number, number) for number in (1, 2, 3, 4, 4)
    ]


def test_what_was_recorded_stays_after_a_stop_and_stopping_again_changes_nothing(
    drivers: Drivers, interpreter: Interpreter
) -> None:
    result: Any = drivers.run(interpreter, "calling", "stopped_twice")
    first, again = profile_of(result["table"]), profile_of(result["again"])
    assert by_name(first)["recurse"] == Counts(3, 1)
    assert paths(again, "calls") == paths(first, "calls")
    assert paths(again, "self_ns") == paths(first, "self_ns")


def test_the_times_add_up_to_no_more_than_the_span(drivers: Drivers, interpreter: Interpreter) -> None:
    result = drivers.run(interpreter, "calling", "workload", PASSES)
    profile = profile_of(result["table"])
    # The last return within the driver's `stop` may be told when the recording is over.
    times = paths(profile, "self_ns")
    assert 0 < sum(ns for path, ns in times.items() if "stop" not in path) <= result["span_ns"]
