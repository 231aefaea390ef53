"""The at-fork stub, run under every interpreter: what a child has taken off, whatever fails on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from interpreters import Interpreter


def test_an_agent_that_fails_to_disarm_in_a_child_keeps_no_other_armed(
    drivers: Drivers, interpreter: Interpreter
) -> None:
    answer = drivers.run(interpreter, "forking")
    child = answer["child"]
    assert child["ran"] == ["fails", "first", "fails", "second"]
    # The interpreter is told of one failure, which names the other as its context.
    assert child["raised"] == ["RuntimeError"]
    assert (child["left"], child["silences"]) == (0, 0)


def test_in_the_parent_nothing_is_disarmed(drivers: Drivers, local_interpreter: Interpreter) -> None:
    answer = drivers.run(local_interpreter, "forking")
    assert (answer["ran"], answer["left"]) == ([], 4)
