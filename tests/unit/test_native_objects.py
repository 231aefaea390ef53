"""The native core: a program's objects go when it lets go of them, as they do without us."""

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
