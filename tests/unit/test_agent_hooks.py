"""The calls collector beside the program's own hooks and other tools', under every interpreter."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from agent_drivers import PID, Counts, by_name, profile_of
from call_trees import header
from execd.attach.table import read_table
from judged import packages

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from interpreters import Interpreter

HEARD = ["call branch", "call leaf", "return leaf", "call leaf", "return leaf", "return branch"]
BRANCH = {"branch": Counts(1, 1), "leaf": Counts(2, 2)}


@pytest.fixture(params=["python", "native"])
def drivers(drivers: Drivers, request: pytest.FixtureRequest) -> Drivers:
    """Drivers whose calls are recorded in either form: what is recorded is the same."""
    return drivers.in_form(request.param)


def has_monitoring(interpreter: Interpreter) -> bool:
    return tuple(map(int, interpreter.version.split("."))) >= (3, 12)


@pytest.fixture
def with_monitoring(interpreter: Interpreter) -> Interpreter:
    if not has_monitoring(interpreter):
        pytest.skip("sys.monitoring came with 3.12")
    return interpreter


@pytest.fixture
def with_profile_functions(interpreter: Interpreter) -> Interpreter:
    if has_monitoring(interpreter):
        pytest.skip("profile functions are used up to 3.11")
    return interpreter


def counted(table: str) -> dict[str, Counts]:
    return {name: found for name, found in by_name(profile_of(table)).items() if name in BRANCH}


def test_after_a_stop_nothing_of_ours_is_left(drivers: Drivers, interpreter: Interpreter) -> None:
    result = drivers.run(interpreter, "hooking", "nothing_left")
    before, during, after = result["hooks"]
    assert during != before
    assert after == before
    assert counted(result["table"]) == BRANCH


def test_a_child_that_is_forked_while_hooks_are_taken_out_keeps_none(
    drivers: Drivers, interpreter: Interpreter
) -> None:
    before, child, after = drivers.run(interpreter, "hooking", "forked_in_the_midst")["hooks"]
    assert child == before
    assert after == before


def test_a_profile_function_of_the_programs_own_hears_what_it_heard_and_stays(
    drivers: Drivers, interpreter: Interpreter
) -> None:
    result = drivers.run(interpreter, "hooking", "own_profile_function")
    assert result["alone"] == HEARD
    assert result["together"] == HEARD
    assert result["restored"]


def test_beside_a_profile_function_of_the_programs_own_the_counts_are_exact(
    drivers: Drivers, interpreter: Interpreter
) -> None:
    result = drivers.run(interpreter, "hooking", "own_profile_function")
    profile = profile_of(result["table"])
    assert counted(result["table"]) == BRANCH
    files = {function.file.rpartition("/")[2] for function in profile.functions}
    assert "profilehooks.py" not in files
    assert "events.py" not in files


def test_a_profile_function_that_the_program_sets_meanwhile_stays(drivers: Drivers, interpreter: Interpreter) -> None:
    result = drivers.run(interpreter, "hooking", "replaced_meanwhile")
    assert result["kept"]
    assert counted(result["table"]) == BRANCH


def test_a_profile_function_that_the_program_sets_meanwhile_is_told_of(
    drivers: Drivers, with_profile_functions: Interpreter
) -> None:
    result = drivers.run(with_profile_functions, "hooking", "replaced_meanwhile")
    (caveat,) = result["later_caveats"]
    assert "replaced its profile function" in caveat


def test_an_active_cprofile_is_named_and_goes_on(drivers: Drivers, with_profile_functions: Interpreter) -> None:
    result = drivers.run(with_profile_functions, "hooking", "beside_cprofile")
    assert "cProfile.Profile" in result["refused"]
    assert result["counts"] == {"branch": 2, "leaf": 4}


def test_when_forced_an_active_cprofile_and_we_both_count_everything(
    drivers: Drivers, with_profile_functions: Interpreter
) -> None:
    result = drivers.run(with_profile_functions, "hooking", "forced")
    assert ["branch", 3, 3] in result["alone"]
    assert result["together"] == result["alone"]
    found = by_name(profile_of(result["table"]))
    assert (found["branch"], found["leaf"], found["<lambda>"]) == (Counts(1, 1), Counts(4, 4), Counts(2, 2))
    (caveat,) = result["later_caveats"]
    assert caveat.startswith("cProfile.Profile, a tool written in C")
    # What outlives us for a thread that is about to call it is all that holds the profiler.
    assert result["kept"] == [1, True]


def test_a_cprofile_that_ends_while_it_is_forced_does_not_come_back(
    drivers: Drivers, with_profile_functions: Interpreter
) -> None:
    result = drivers.run(with_profile_functions, "hooking", "forced_and_ended")
    assert result["counts"] == {"branch": 1, "leaf": 2}
    assert result["left"]["profile"] == "None"
    # Ours goes on after the poll.
    assert counted(result["table"]) == {"branch": Counts(2, 2), "leaf": Counts(4, 4)}


def test_a_cprofile_that_ends_while_it_is_looked_at_is_none_in_the_way(
    drivers: Drivers, with_profile_functions: Interpreter
) -> None:
    result = drivers.run(with_profile_functions, "hooking", "forced_and_switched_off")
    assert (result["refused"], result["later_caveats"]) == ("", [])
    assert counted(result["table"])["branch"] == Counts(1, 1)


def test_when_forced_coverage_finds_what_it_finds_alone_and_lines_are_counted(
    drivers: Drivers, with_profile_functions: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACKAGES", packages(with_profile_functions, "coverage"))
    result = drivers.run(with_profile_functions, "hooking", "forced_coverage")
    assert len(result["alone"][0][0]) > 40
    assert result["together"] == result["alone"]
    profile = read_table(base64.b64decode(result["table"]), replace(header(), collector="lines"), PID)
    found: dict[int, int] = {}
    for node, location in enumerate(profile.node_locations):
        place = profile.locations[location]
        if profile.functions[place.function].file.endswith("/tracked.py"):
            found[place.line] = found.get(place.line, 0) + profile.columns[0].values[node]
    assert found == {line: hits for file, line, hits in result["expected"] if file == "tracked.py"}


def test_beside_an_active_cprofile_both_count_everything(drivers: Drivers, with_monitoring: Interpreter) -> None:
    result = drivers.run(with_monitoring, "hooking", "beside_cprofile")
    assert result["refused"] == ""
    assert result["counts"] == {"branch": 2, "leaf": 4}
    assert counted(result["table"]) == BRANCH


def test_with_both_tool_ids_taken_it_refuses_and_names_the_owners(
    drivers: Drivers, with_monitoring: Interpreter
) -> None:
    result = drivers.run(with_monitoring, "hooking", "taken", 3, 4)
    assert "tool-3 (3)" in result["refused"]
    assert "tool-4 (4)" in result["refused"]
    assert result["tools"] == [None, None, None, "tool-3", "tool-4", None]


@pytest.mark.parametrize(("taken", "used"), [(3, 4), (4, 3)])
def test_with_one_tool_id_taken_it_uses_the_other(
    drivers: Drivers, with_monitoring: Interpreter, taken: int, used: int
) -> None:
    result = drivers.run(with_monitoring, "hooking", "taken", taken)
    assert result["tools"][used] == "execd"
    assert result["tools"][taken] == result["after"][taken] == f"tool-{taken}"
    assert result["after"][used] is None
    assert counted(result["table"]) == BRANCH


def test_a_tool_that_took_the_id_over_keeps_it(drivers: Drivers, with_monitoring: Interpreter) -> None:
    result = drivers.run(with_monitoring, "hooking", "stolen")
    assert result["tools"][3] == "thief"
    assert any("took over" in caveat for caveat in result["later_caveats"])
    assert counted(result["table"]) == BRANCH


def test_without_ctypes_it_refuses_or_says_what_it_misses(
    drivers: Drivers, with_profile_functions: Interpreter
) -> None:
    result = drivers.run(with_profile_functions, "hooking", "without_ctypes")
    assert "cannot be reached" in "".join([result["refused"], *result["caveats"]])
