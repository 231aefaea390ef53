"""The collector of lines beside a trace function of the program's own: both hear what they hear alone."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from agent_drivers import PID
from call_trees import header
from execd.attach.table import read_table

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from interpreters import Interpreter

SLOTS = ("3.9", "3.10", "3.11")
TRACERS = ("everything", "choosing", "jumping", "cover")
ENDS = ("raises", "ends", "outside")
ACTS = (*TRACERS, *ENDS, "replaces", "debugger", "threads", "left")
FIRST_OF_LOOPS = 26
# In it the tracer switches lines off, by the number of its first and its last line.
UNHEARD = range(133, 145)


def recorded(result: Any, kind: str = "lines") -> dict[int, int]:
    """The figure of each line of the known work."""
    profile = read_table(base64.b64decode(result["table"]), replace(header(), collector=kind), PID)
    found: dict[int, int] = {}
    for node, location in enumerate(profile.node_locations):
        place = profile.locations[location]
        if profile.functions[place.function].file.endswith("/tracked.py"):
            found[place.line] = found.get(place.line, 0) + profile.columns[0].values[node]
    return found


@pytest.fixture(scope="module")
def results(interpreter: Interpreter, drivers: Drivers) -> Any:
    """What the driver found in one version."""
    return drivers.run(interpreter, "traced_already", "everything")


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("interpreter", [*SLOTS, "3.12"], indirect=True)
def test_a_trace_function_hears_and_reads_what_it_does_without_us(results: Any, act: str) -> None:
    result = results["results"][act]
    assert result["refused"] == ""
    assert len(result["alone"]["heard"]) > 1
    assert result["together"] == result["alone"]


@pytest.mark.parametrize("tracer", TRACERS)
@pytest.mark.parametrize("interpreter", SLOTS, indirect=True)
def test_beside_a_trace_function_lines_are_counted_as_trace_counts_them(results: Any, tracer: str) -> None:
    result = results["results"][tracer]
    expected = {line: hits for file, line, hits in result["expected"] if file == "tracked.py"}
    unheard = UNHEARD if tracer == "choosing" else range(0)
    for line in unheard:
        expected.pop(line, None)
    if tracer == "cover":
        assert recorded(result, "cover").keys() == expected.keys()
    else:
        assert {line: hits for line, hits in recorded(result).items() if line not in unheard} == expected
    told = [caveat.startswith("lines of frames in which") for caveat in result["later_caveats"]]
    assert told == [True] * bool(unheard)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("interpreter", SLOTS, indirect=True)
def test_a_trace_function_that_ends_is_not_set_again_and_recording_goes_on(results: Any, end: str) -> None:
    result = results["results"][end]
    (caveat,) = result["later_caveats"]
    assert "exceptions or the target took it out" in caveat
    # After the poll: the tracer is gone, and `loops` of the second pass is recorded whole.
    assert recorded(result)[FIRST_OF_LOOPS] == 1


@pytest.mark.parametrize("interpreter", SLOTS, indirect=True)
def test_a_trace_function_that_the_program_sets_meanwhile_stays_and_is_told_of(results: Any) -> None:
    (caveat,) = results["results"]["replaces"]["later_caveats"]
    assert "replaced its trace function" in caveat


@pytest.mark.parametrize("interpreter", SLOTS, indirect=True)
def test_a_tracer_beside_a_profiler_of_the_programs_own_is_refused(results: Any) -> None:
    assert results["refused"].startswith("a tracer beside a profiler, both of the target's own, is set in thread")
