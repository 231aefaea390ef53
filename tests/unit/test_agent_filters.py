"""Code that is left out by --include and --exclude: what is recorded is the whole tree without it, in either form."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from agent_drivers import paths, profile_of
from execd.model.profile import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_drivers import Drivers
    from execd.model.profile import Profile
    from interpreters import Interpreter

LIB, INNER, APP = "/srv/lib/", "/srv/lib/inner.py", "/srv/app/"
# By the number of the patterns in the driver: whether a file's code is left out.
LEFT_OUT: dict[int, Callable[[str], bool]] = {
    **dict.fromkeys((1, 2, 4), lambda file: file.startswith(LIB)),
    **dict.fromkeys((3, 5), lambda file: not file.startswith(APP)),
    **dict.fromkeys((6, 7), lambda file: file == INNER),
    8: lambda file: not file.startswith("/srv/") or file == INNER,
    9: lambda file: not file.startswith(LIB),
    10: lambda file: file.startswith(APP),
}
Stacks = Counter[tuple[str, ...]]


@pytest.fixture(params=["python", "native"])
def drivers(drivers: Drivers, request: pytest.FixtureRequest) -> Drivers:
    """Drivers whose calls are recorded in either form: what is recorded is the same."""
    return drivers.in_form(request.param)


def nothing(_file: str) -> bool:
    return False


def stacks(profile: Profile, is_left_out: Callable[[str], bool] = nothing) -> Stacks:
    """The calls of each stack of the two packages, without code that is left out and the C functions that it calls."""
    found: Stacks = Counter()
    rows: list[tuple[tuple[str, ...], bool]] = []
    for node, parent in enumerate(profile.parents):
        function = profile.functions[profile.function_of(node)]
        above, is_out_above = rows[parent] if parent != ROOT else ((), True)
        is_out = not function.file.startswith("/srv/") or is_left_out(function.file)
        is_out = is_out_above if function.file == "~" else is_out
        rows.append((above if is_out else (*above, function.name), is_out))
        found[rows[-1][0]] += 0 if is_out else profile.column("calls")[node]
    return +found


@pytest.mark.parametrize("number", LEFT_OUT)
def test_what_is_recorded_is_the_whole_tree_without_what_is_left_out(
    drivers: Drivers, interpreter: Interpreter, number: int
) -> None:
    result = drivers.run(interpreter, "filtering", "patterns", number)
    whole, found = profile_of(result["whole"]), profile_of(result["table"])
    expected = stacks(whole, LEFT_OUT[number])
    assert len(stacks(whole)) > len(expected) > 3
    assert stacks(found) == expected
    assert len(result["caveats"]) == 1
    assert result["caveats"][0].endswith("is recorded; the time of the rest is its callers'")
    assert not any(LEFT_OUT[number](found.functions[found.function_of(node)].file) for node in of_packages(found))


def of_packages(profile: Profile) -> list[int]:
    """The nodes of Python functions of the two packages."""
    nodes = range(len(profile.parents))
    return [node for node in nodes if profile.functions[profile.function_of(node)].file.startswith("/srv/")]


@pytest.mark.parametrize("number", [1, 9])
def test_without_c_functions_it_is_the_same(drivers: Drivers, interpreter: Interpreter, number: int) -> None:
    result = drivers.run(interpreter, "filtering", "patterns", number, 0)
    expected = stacks(profile_of(result["whole"]), LEFT_OUT[number])
    assert stacks(profile_of(result["table"])) == expected


@pytest.mark.parametrize("other_tool", [0, 1])
@pytest.mark.parametrize("number", [1, 10])
def test_a_later_recording_without_patterns_is_whole(
    drivers: Drivers, interpreter: Interpreter, number: int, other_tool: int
) -> None:
    result = drivers.run(interpreter, "filtering", "afterwards", number, other_tool)
    fresh = profile_of(result["fresh"])
    assert stacks(profile_of(result["first"])) == stacks(fresh, LEFT_OUT[number])
    assert stacks(profile_of(result["table"])) == stacks(fresh)


def test_the_time_of_what_is_left_out_is_its_callers(drivers: Drivers, interpreter: Interpreter) -> None:
    result = drivers.run(interpreter, "filtering", "resting", 1)
    times = {path[-1]: ns for path, ns in paths(profile_of(result["table"]), "self_ns").items()}
    assert times["rest"] >= 50_000_000


@pytest.mark.parametrize("number", [1, 3])
def test_frames_of_what_is_left_out_that_run_already_are_left_as_if_they_were_not_there(
    drivers: Drivers, interpreter: Interpreter, number: int
) -> None:
    profile = profile_of(drivers.run(interpreter, "filtering", "begun_within", number)["table"])
    opened, calls = paths(profile, "open"), paths(profile, "calls")
    assert not any("through" in path for path in (*opened, *calls))
    # From `through`, and from the driver.
    assert sum(count for path, count in calls.items() if path[-1] == "leaf") == 2
    if number == 1:
        assert {path for path in calls if path[-1] == "leaf"} == {("<module>", "serve", "begun_within", "leaf")}


@pytest.mark.parametrize("room", [3_000, 6_000, 9_000])
def test_what_is_left_out_is_none_of_what_there_is_no_room_for(
    drivers: Drivers, interpreter: Interpreter, room: int
) -> None:
    only_app = 3
    profile = profile_of(drivers.run(interpreter, "filtering", "over_the_limit", only_app, room)["table"])
    whole = profile_of(drivers.run(interpreter, "filtering", "patterns", 0)["whole"])
    lost = profile.header.lost["calls over the memory limit"]
    assert lost + sum(stacks(profile).values()) == sum(stacks(whole, LEFT_OUT[only_app]).values())
