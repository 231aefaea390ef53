"""What lines can run, what is left out, and what is refused: under every interpreter as its own trace has it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from interpreters import Interpreter

BUDGET_BYTES = 20_000
VERSIONS = ("3.9", "3.12", "3.15")


def test_the_lines_of_a_source_are_those_that_trace_finds(drivers: Drivers, interpreter: Interpreter) -> None:
    for path, wanted, ours, functions in drivers.run(interpreter, "tabling", "sources"):
        assert ours == wanted, path
        assert len(ours) > 50
        assert functions > 10


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_what_may_compile_another_time_is_not_refused(drivers: Drivers, interpreter: Interpreter) -> None:
    deep, wrong = drivers.run(interpreter, "tabling", "nested")
    assert deep in ("MemoryError", "RecursionError")
    assert wrong == "Refused"


def test_ignored_is_what_trace_ignores(drivers: Drivers, local_interpreter: Interpreter) -> None:
    verdicts = drivers.run(local_interpreter, "tabling", "verdicts")
    assert [path for path, wanted, ours in verdicts if wanted != ours] == []
    assert {wanted for _, wanted, _ in verdicts} == {True, False}


def test_two_files_of_one_name_have_each_their_own_verdict_and_packages_count(
    drivers: Drivers, local_interpreter: Interpreter
) -> None:
    assert drivers.run(local_interpreter, "tabling", "packages") == [True, False, True, True, False]


def test_what_has_no_room_is_counted_as_lost(drivers: Drivers, local_interpreter: Interpreter) -> None:
    result = drivers.run(local_interpreter, "tabling", "over_the_limit", BUDGET_BYTES)
    raw = base64.b64decode(result["table"])
    facts = json.loads(raw[4 : 4 + int.from_bytes(raw[:4], "little")])
    assert facts["lost"]["lines over the memory limit"] > 0
    assert 0 < result["memory_bytes"] <= BUDGET_BYTES


def test_a_trace_function_of_the_programs_own_hears_and_stays(drivers: Drivers, interpreter: Interpreter) -> None:
    result = drivers.run(interpreter, "tabling", "traced_by_the_program")
    assert (result["kept"], result["heard"], result["refused"]) == (True, 7, "")
