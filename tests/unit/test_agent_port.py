"""The agent's descriptors: a file of the target's under the number of one is not touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from interpreters import Interpreter

VERSIONS = ("3.9", "3.12", "3.15")
# As tests/drivers/telling.py has it.
LIMIT_S = 0.3


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


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_the_last_word_to_a_daemon_that_is_gone_brings_no_signal(drivers: Drivers, interpreter: Interpreter) -> None:
    ended = drivers.run(interpreter, "telling", "gone")
    assert (ended["said"], ended["waits"], ended["mask"]) == (False, True, [])


@pytest.mark.parametrize("way", ["full", "busy"])
def test_the_last_word_waits_for_nobody_for_longer_than_it_may(
    drivers: Drivers, local_interpreter: Interpreter, way: str
) -> None:
    ended = drivers.run(local_interpreter, "telling", way)
    assert (ended["said"], ended["waits"]) == (False, True)
    assert LIMIT_S * 0.9 <= ended["took_s"] < LIMIT_S * 10


def test_the_last_word_is_heard(drivers: Drivers, local_interpreter: Interpreter) -> None:
    ended = drivers.run(local_interpreter, "telling", "heard")
    assert (ended["said"], ended["heard"], ended["waits"]) == (True, True, True)
