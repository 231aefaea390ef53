"""The agent's descriptors: a file of the target's under the number of one is not touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from interpreters import Interpreter

VERSIONS = ("3.9", "3.12", "3.15")


@pytest.mark.parametrize("way", ["receive", "send"])
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_file_that_takes_the_number_after_the_look_is_not_touched(
    drivers: Drivers, interpreter: Interpreter, way: str
) -> None:
    assert drivers.run(interpreter, "swapping", way) == {"heard": "before", "closed": True, "untouched": True}


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_no_such_file_is_taken_for_the_agents_modules(drivers: Drivers, interpreter: Interpreter) -> None:
    assert drivers.run(interpreter, "swapping", "bootstrap") == {"closed": True, "untouched": True}


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_no_such_file_is_written_to_or_closed(drivers: Drivers, interpreter: Interpreter) -> None:
    assert drivers.run(interpreter, "swapping", "close") == {"heard": ["last", ""], "untouched": True}
