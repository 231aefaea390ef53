"""Times of the calls collector under every interpreter: its clocks, and what its own events cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from agent_drivers import profile_of
from execd.model.fold import by_function

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from execd.model.fold import Figures
    from interpreters import Interpreter

SLEEP_NS = 50_000_000
# What an event costs at most, on a machine that does other things as well.
MOST_NS = 100_000
BEATS, TIMED = 20, 1000
PARTS = ("python_inside", "python_outside", "c_inside", "c_outside")
FIELDS = {"uncounted_ns", *(f"{part}_ns" for part in PARTS), *(f"{part}_timed_ns" for part in PARTS)}


@pytest.fixture(params=["python", "native"])
def drivers(drivers: Drivers, request: pytest.FixtureRequest) -> Drivers:
    """Drivers whose calls are recorded in either form: what is recorded is the same."""
    return drivers.in_form(request.param)


def figures(result: dict[str, Any]) -> dict[str, Figures]:
    """The figures of each function, by its name alone."""
    return {name: row.figures for (_, _, name), row in by_function(profile_of(result["table"])).items()}


def test_the_cost_of_events_is_measured_while_it_is_recorded(drivers: Drivers, interpreter: Interpreter) -> None:
    result = drivers.run(interpreter, "timing", "costs")
    for told in result["told"]:
        assert set(told) == FIELDS
        assert all(0 <= told[f"{part}_ns"] < MOST_NS for part in PARTS), told
        # What of a native event falls into the caller's time is little, and may be lost in what a row takes by itself.
        assert all(told[f"{part}_ns"] for part in PARTS if "inside" in part), told
        assert all(0 < told[f"{part}_timed_ns"] < MOST_NS for part in PARTS), told
        # The same goes for an event that is not counted.
        is_told = told["uncounted_ns"] > 0
        assert is_told == result["monitored"] or (drivers.form == "native" and not is_told)
    # What was called to measure it is neither in the tree nor in the accounts.
    assert result["used"][0] == result["used"][1]
    assert figures(result)["leaf"].calls == 20
    assert not [name for name in figures(result) if name in ("row", "_nothing")]


def test_without_c_functions_their_cost_is_not_told(drivers: Drivers, interpreter: Interpreter) -> None:
    for told in drivers.run(interpreter, "timing", "costs", 0)["told"]:
        assert 0 < told["python_inside_ns"] < MOST_NS
        assert told["c_inside_ns"] == told["c_outside_ns"] == told["uncounted_ns"] == 0
        assert told["c_inside_timed_ns"] == told["c_outside_timed_ns"] == 0


def test_calls_that_are_told_and_not_counted_are_in_a_column(drivers: Drivers, interpreter: Interpreter) -> None:
    result = drivers.run(interpreter, "timing", "costs")
    profile = profile_of(result["table"])
    of_work = [
        count
        for node, count in enumerate(profile.column("uncounted"))
        if profile.functions[profile.function_of(node)].name == "work"
    ]
    # On each pass leaf, which is told once more, and int, a type, which is told and returns; and range, once.
    assert of_work == [20 * (1 + 2) + 2 if result["monitored"] else 0]


def test_some_events_are_timed_in_the_node_that_has_their_time(drivers: Drivers, interpreter: Interpreter) -> None:
    result = drivers.run(interpreter, "timing", "costs_of_many")
    profile = profile_of(result["table"])
    timed, timed_ns = ({}, {})
    for node, (count, ns) in enumerate(zip(profile.column("timed"), profile.column("timed_ns"), strict=True)):
        name = profile.functions[profile.function_of(node)].name
        timed[name], timed_ns[name] = timed.get(name, 0) + count, timed_ns.get(name, 0) + ns
    # 1,000 a beat, of which about a fourth each is of leaf and len, and half of work; less those that were held up.
    share = {"work": 2, "leaf": 1, "<built-in method builtins.len>": 1}
    for name, parts in share.items():
        assert 0 < timed[name] < parts * BEATS * TIMED / 3
        assert 0 < timed_ns[name] < timed[name] * MOST_NS


def test_nothing_is_measured_where_the_cost_is_given(drivers: Drivers, local_interpreter: Interpreter) -> None:
    result = drivers.run(local_interpreter, "timing", "costs_unasked")
    assert result["told"] == {}
    assert not any(profile_of(result["table"]).column("timed"))


def test_cpu_time_is_that_of_what_computes(drivers: Drivers, interpreter: Interpreter) -> None:
    found = figures(drivers.run(interpreter, "timing", "by_cpu"))
    assert SLEEP_NS <= found["spin"].total_ns < 3 * SLEEP_NS
    assert found["rest"].total_ns < SLEEP_NS / 2


def test_cpu_time_of_threads_without_an_event(drivers: Drivers, local_interpreter: Interpreter) -> None:
    found = figures(drivers.run(local_interpreter, "timing", "open_by_cpu"))
    assert found["computes"].total_ns > SLEEP_NS / 3
    assert found["waits"].total_ns < SLEEP_NS / 10


def test_a_function_of_the_program_is_the_clock(drivers: Drivers, interpreter: Interpreter) -> None:
    result = drivers.run(interpreter, "timing", "steady", 5)
    leaf = figures(result)["leaf"]
    # It is asked at the begin and at the end of each call, and goes on by 5 us each time.
    assert (leaf.calls, leaf.self_ns) == (20, 20 * 5_000)
    assert (result["broken"], result["told"], result["caught"]) == ("", {}, "")


def test_the_program_gets_no_exception_of_its_timer(drivers: Drivers, interpreter: Interpreter) -> None:
    result = drivers.run(interpreter, "timing", "failing")
    assert result["caught"] == ""
    assert result["broken"] == "the timer __main__:fails failed: LookupError: no more ticks"
    assert result["said"] == [result["broken"]]
    assert all(one.self_ns >= 0 for one in figures(result).values())


def test_a_timer_that_goes_back_takes_no_time_away(drivers: Drivers, local_interpreter: Interpreter) -> None:
    found = figures(drivers.run(local_interpreter, "timing", "set_back"))
    assert {one.self_ns for one in found.values()} == {0}
    assert found["leaf"].calls == 20


def test_the_program_gets_what_its_signal_handler_raised_within_a_timer(
    drivers: Drivers, interpreter: Interpreter
) -> None:
    result = drivers.run(interpreter, "timing", "signalled")
    assert result["caught"] == "TimeoutError('of the program')"
    assert result["broken"] == ""


def test_what_is_no_timer_is_refused(drivers: Drivers, local_interpreter: Interpreter) -> None:
    told = drivers.run(local_interpreter, "timing", "refused")
    assert len(told) == 10
    assert told["[('timer', 'nowhere:clock')]"] == "the timer nowhere:clock: the program has not imported nowhere"
    assert told["[('timer', '__main__:SLEEP_S')]"] == "the timer __main__:SLEEP_S cannot be called"
    assert "failed: TypeError" in told["[('timer', '__main__:refused_text')]"]
    assert told["[('clock', 'sun')]"] == "no clock 'sun': choose wall or cpu"
    assert "a bias is auto, or the seconds that one event costs" in told["[('bias', -1.0)]"]


def test_an_audit_hook_that_forbids_measuring_is_told_of_no_other_way(
    drivers: Drivers, interpreter: Interpreter
) -> None:
    result = drivers.run(interpreter, "timing", "audited_since")
    assert result["said"] == []
    assert figures(result)["leaf"].calls == 1
