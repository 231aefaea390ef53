"""The collectors of lines and calls under every interpreter: they record what trace of the standard library records."""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from agent_drivers import PID, Counts, by_name
from call_trees import header
from execd.attach.table import read_table
from execd.model.profile import ROOT

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from execd.model.profile import Profile
    from interpreters import Interpreter

# As tests/drivers/tracking.py numbers them.
KINDS = ("callers", "cover", "functions", "lines")
# What the driver and the collectors do themselves while they are on.
OWN_FILES = ("(the agent)", "measuring.py", "tracking.py", "trace.py", "threading.py", "__init__.py", "<string>")


def profile_of(table: str, kind: str) -> Profile:
    return read_table(base64.b64decode(table), replace(header(), collector=kind), PID)


def name_of(path: str) -> str:
    """A file's name without its folder; the agent's own files have one name, which stands in OWN_FILES."""
    return "(the agent)" if "/execd_agent/" in path else path.rpartition("/")[2]


def places(profile: Profile) -> dict[tuple[str, int], int]:
    """The figure of each line, by file name without folder; there are one of a line for each function on it."""
    found: Counter[tuple[str, int]] = Counter()
    for node, location in enumerate(profile.node_locations):
        place = profile.locations[location]
        file = name_of(profile.functions[place.function].file)
        found[file, place.line] += profile.columns[0].values[node]
    return dict(found)


def functions(profile: Profile) -> set[tuple[str, str]]:
    found = [profile.functions[profile.function_of(node)] for node in range(len(profile.parents))]
    return {(name_of(one.file), one.name) for one in found}


def pairs(profile: Profile) -> dict[tuple[str, str, str, str], int]:
    """How often each caller called each function, both by file and name."""
    found: Counter[tuple[str, str, str, str]] = Counter()
    for node, parent in enumerate(profile.parents):
        if parent != ROOT:
            ends = [profile.functions[profile.function_of(one)] for one in (parent, node)]
            caller, callee = [(name_of(one.file), one.name) for one in ends]
            found[(*caller, *callee)] += profile.columns[0].values[node]
    return dict(found)


def recorded(result: Any, kind: str) -> Any:
    """What a collector found, as the driver's oracle says it, of the program alone."""
    profile = profile_of(result["table"], kind)
    if kind == "functions":
        return {one for one in functions(profile) if one[0] not in OWN_FILES}
    if kind == "callers":
        return {one for one in pairs(profile) if one[2] not in OWN_FILES and one[0] not in OWN_FILES}
    lines = {place: hits for place, hits in places(profile).items() if place[0] not in OWN_FILES}
    return set(lines) if kind == "cover" else lines


def expected(result: Any, kind: str) -> Any:
    """The oracle's result of the same."""
    rows = result["expected"]
    if kind == "functions":
        return {tuple(row) for row in rows if row[0] not in OWN_FILES}
    if kind == "callers":
        return {tuple(row) for row in rows if row[2] not in OWN_FILES and row[0] not in OWN_FILES}
    lines = {(file, line): hits for file, line, hits in rows if file not in OWN_FILES}
    return set(lines) if kind == "cover" else lines


def skip_without_tools(interpreter: Interpreter, foreign_tool: int) -> None:
    if foreign_tool and interpreter.version_info < (3, 12):
        pytest.skip("sys.monitoring came with 3.12")


def in_driver(result: Any, kind: str) -> dict[int, int]:
    """The figures of the driver's own lines."""
    found = places(profile_of(result["table"], kind))
    return {line: figure for (file, line), figure in found.items() if file == "tracking.py"}


def seen_after(profile: Profile, mark: int) -> set[tuple[str, str, int]]:
    """The places with a later number, by file, function and line."""
    found = set()
    for node, number in enumerate(profile.column("mark")):
        place = profile.locations[profile.node_locations[node]]
        function = profile.functions[place.function]
        if number > mark:
            found.add((name_of(function.file), function.name, place.line))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_it_records_what_trace_records(drivers: Drivers, interpreter: Interpreter, kind: str) -> None:
    result = drivers.run(interpreter, "tracking", "beside", KINDS.index(kind))
    assert len(expected(result, kind)) > 40
    assert recorded(result, kind) == expected(result, kind)
    assert result["caveats"] == []
    if kind == "callers":
        # How often, trace does not say: a trace function's call events do, a generator's resumptions among them.
        found: Counter[tuple[str, str]] = Counter()
        for (_, caller, _, callee), calls in pairs(profile_of(result["table"], kind)).items():
            found[caller, callee] += calls
        assert found["delegating", "numbers"] > 3
        calls_of_pairs = {(caller, callee): calls for caller, callee, calls in result["calls"]}
        del calls_of_pairs["oracle_calls", "run"]
        assert {pair: calls for pair, calls in found.items() if pair in calls_of_pairs} == calls_of_pairs


def test_all_at_once_each_records_its_own_whoever_leaves_first(drivers: Drivers, interpreter: Interpreter) -> None:
    result = drivers.run(interpreter, "tracking", "together")
    for rounds, (kind, found) in enumerate(result["results"].items(), start=1):
        one, wanted = recorded(found, kind), expected(found, kind)
        if kind == "lines":
            wanted = {place: hits * rounds for place, hits in wanted.items()}
        assert one == wanted, kind
    calls = by_name(profile_of(result["calls"]["table"], "calls"))
    assert calls["recursion"] == Counts(7 * len(KINDS), len(KINDS))
    assert result["hooks"] == []


@pytest.mark.parametrize(("kind", "foreign_tool"), [("cover", 0), ("cover", 1), ("functions", 0)])
def test_what_was_switched_off_is_on_again_for_the_next_and_for_whoever_marks(
    drivers: Drivers, interpreter: Interpreter, kind: str, foreign_tool: int
) -> None:
    skip_without_tools(interpreter, foreign_tool)
    result = drivers.run(interpreter, "tracking", "again", KINDS.index(kind), foreign_tool)
    for found in result["results"]:
        assert recorded(found, kind) == expected(result, kind)
        later = seen_after(profile_of(found["table"], kind), 1)
        assert {name for file, name, _ in later if file == "tracked.py"} == {"recursion"}
        assert found["marked"] > 0
        if kind == "cover":
            lines = {line for file, line, _ in result["recursion"] if file == "tracked.py"}
            assert {line for file, _, line in later if file == "tracked.py"} == lines


@pytest.mark.parametrize(
    ("first", "second", "foreign_tool"),
    [("cover", "lines", 0), ("cover", "lines", 1), ("functions", "callers", 0), ("lines", "functions", 1)],
)
def test_whoever_comes_later_hears_of_what_others_are_done_with(
    drivers: Drivers, interpreter: Interpreter, first: str, second: str, foreign_tool: int
) -> None:
    skip_without_tools(interpreter, foreign_tool)
    kinds = KINDS.index(first), KINDS.index(second)
    result = drivers.run(interpreter, "tracking", "joined_by", *kinds, foreign_tool)
    assert recorded(result, second) == expected(result, second)


def test_a_loop_that_runs_already_is_counted_exactly(drivers: Drivers, interpreter: Interpreter) -> None:
    result = drivers.run(interpreter, "tracking", "running_loop", KINDS.index("lines"))
    lines = in_driver(result, "lines")
    step, inner = lines[result["first_line"] + 2], lines[result["first_line"] + 3]
    # It goes on while the collector is armed and disarmed: what it had counted before and after bounds that. It may
    # have begun with that line, and not have counted yet.
    assert result["ended"] - result["began"] - 1 <= step <= result["after"] - result["before"] + 1
    # Three passes and the end of the loop, each a line; the first and the last step may be half in.
    assert abs(inner - 4 * step) <= 4


def test_a_loop_that_runs_already_is_covered(drivers: Drivers, interpreter: Interpreter) -> None:
    result = drivers.run(interpreter, "tracking", "running_loop", KINDS.index("cover"))
    first = result["first_line"]
    assert {line - first for line in in_driver(result, "cover")} >= {1, 2, 3}
    again = {line - first for _, name, line in seen_after(profile_of(result["table"], "cover"), 1) if name == "work"}
    assert again == {1, 2, 3}


@pytest.mark.parametrize("kind", ["lines", "callers"])
def test_threads_lose_no_count(drivers: Drivers, interpreter: Interpreter, kind: str) -> None:
    threads, rounds = 4, 5_000
    result = drivers.run(interpreter, "tracking", "threads", KINDS.index(kind), threads, rounds)
    if kind == "lines":
        assert in_driver(result, kind)[result["first_line"] + 3] == threads * rounds
        return
    found = pairs(profile_of(result["table"], "callers"))
    assert found["threading.py", "run", "tracking.py", "rounds_of"] == threads
    assert found["tracking.py", "rounds_of", "tracking.py", "step"] == threads * rounds
