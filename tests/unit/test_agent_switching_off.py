"""Functions that are switched off: their figures stay, their later time is their callers', and all else is exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from agent_drivers import Counts, by_name, paths, profile_of

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from execd.model.profile import Profile
    from interpreters import Interpreter


@pytest.fixture
def native(drivers: Drivers) -> Drivers:
    """Drivers of the native form, which alone can do it."""
    return drivers.in_form("native")


@pytest.fixture
def with_monitoring(interpreter: Interpreter) -> Interpreter:
    if tuple(map(int, interpreter.version.split("."))) < (3, 12):
        pytest.skip("sys.monitoring came with 3.12")
    return interpreter


def below(profile: Profile, top: str, column: str = "calls") -> dict[tuple[str, ...], int]:
    """What a column has of each stack from a function on, where that is."""
    return {
        path[path.index(top) :]: count
        for path, count in paths(profile, column).items()
        if top in path and not any(step in ("off", "do") for step in path)
    }


def test_what_is_switched_off_within_its_own_recursion_is_left_out_from_then_on(
    native: Drivers, with_monitoring: Interpreter
) -> None:
    depth, times = 5, 20
    result = native.run(with_monitoring, "switching_off", "recursive", depth, times)
    number = result["said"][0][2]
    assert result["said"] == [[[number], [], number]]
    assert result["value"] == (times + 1) * (depth + 2) + 1
    profile = profile_of(result["table"])
    assert by_name(profile)["chosen"] == Counts(depth + 1, 1)
    own = below(profile, "recursive")
    assert own["recursive", *["chosen"] * (depth + 1), "bottom"] == 1
    # One at the bottom that had begun, then one a level on the way up; later ones for each level, and one below.
    assert own["recursive", "leaf"] == depth + 1 + times * (depth + 2)
    assert own["recursive", "bottom", "leaf"] == 1
    assert own["recursive", "again", "again", "again", "again", "leaf"] == 1
    assert 0 < sum(profile.column("self_ns")) <= result["span_ns"]


def test_below_a_c_function_of_what_is_switched_off_calls_are_in_their_place(
    native: Drivers, with_monitoring: Interpreter
) -> None:
    result = native.run(with_monitoring, "switching_off", "within_c")
    profile = profile_of(result["table"])
    own = below(profile, "within_c")
    assert by_name(profile)["sorting"] == Counts(1, 1)
    assert own["within_c", "<lambda>", "action", "leaf"] == 2
    assert own["within_c", "<lambda>", "leaf"] == 2
    assert own["within_c", "again", "again", "again", "again", "leaf"] == 1
    # The second of `sorting` is of no C function any more.
    assert sum(count for path, count in own.items() if path[-1] == "<built-in method builtins.sorted>") == 1


def test_a_generator_that_is_switched_off_while_it_is_suspended_goes_on_unheard(
    native: Drivers, with_monitoring: Interpreter
) -> None:
    profile = profile_of(native.run(with_monitoring, "switching_off", "suspended")["table"])
    own = below(profile, "suspended")
    assert by_name(profile)["counting"] == Counts(1, 1)
    # `sum` resumes it, and the others.
    assert sum(count for path, count in own.items() if path[-1] == "leaf" and "counting" not in path) == 4 + 3 + 1
    assert own["suspended", "again", "again", "again", "again", "leaf"] == 1


def test_what_is_no_function_of_code_is_not_switched_off(native: Drivers, with_monitoring: Interpreter) -> None:
    result = native.run(with_monitoring, "switching_off", "no_function")
    assert result["said"] == [[], []]
    assert by_name(profile_of(result["table"]))["leaf"] == Counts(2, 2)


@pytest.mark.parametrize("other_tool", [0, 1])
def test_a_later_recording_hears_all_again(native: Drivers, with_monitoring: Interpreter, other_tool: int) -> None:
    result = native.run(with_monitoring, "switching_off", "twice", other_tool)
    first, second = (by_name(profile_of(result[name])) for name in ("first", "table"))
    assert (first["chosen"], first["counting"]) == (Counts(3, 1), Counts(4, 4))
    assert (second["chosen"], second["counting"]) == (Counts(3, 1), Counts(4, 4))
    assert second["leaf"] == Counts(4 + 3, 4 + 3)


def test_where_it_would_save_nothing_it_is_refused(native: Drivers, interpreter: Interpreter) -> None:
    if tuple(map(int, interpreter.version.split("."))) >= (3, 12):
        pytest.skip("it saves all of their cost")
    result = native.run(interpreter, "switching_off", "refused")
    assert result["why"] == "below 3.12 the interpreter tells of every call: switching a function off saves nothing"
    assert by_name(profile_of(result["table"]))["leaf"] == Counts(2, 2)
