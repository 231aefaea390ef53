"""The native core: what a program can tell of it: its objects go as they do without us, and it comes as deep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_drivers import by_name, profile_of

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from interpreters import Interpreter


def test_what_a_local_variable_had_goes_with_it_in_every_thread(drivers: Drivers, interpreter: Interpreter) -> None:
    """A profile function of Python's has the interpreter keep a copy of all variables (3.9 and 3.10)."""
    found = drivers.in_form("native").run(interpreter, "letting_go")
    assert (found["in_main"], found["beside"]) == (False, False)
    assert by_name(profile_of(found["table"]))["lives_on"].calls == 2
    assert found["profile"] == "None"


def test_a_program_comes_as_deep_as_it_does_without_us(drivers: Drivers, interpreter: Interpreter) -> None:
    """What a new function is called is asked of the agent's code, which needs some frames itself."""
    result = drivers.in_form("native").run(interpreter, "limiting", "depths")
    assert result["alone"] > 300
    assert result["recorded"] == [result["alone"]] * 3
    found = by_name(profile_of(result["table"]))
    assert found["descend"].calls == 3 * (result["alone"] + 1)
