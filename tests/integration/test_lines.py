"""Lines, functions and callers of a program that runs already, alone and all at once, judged by its own counters."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from agent_drivers import PID
from attachments import REQUEST_TIMEOUT_S, attached, detach
from call_trees import header
from execd.attach.table import read_table
from execd.errors import CollectorRefused
from footprint import becomes, footprint, settled

if TYPE_CHECKING:
    from attachments import AgentLink
    from conftest import Spawn
    from execd.attach.attacher import Attacher
    from execd.model.profile import Profile
    from interpreters import Interpreter
    from programs import Program

LIMIT_S = 15.0
# Above the first line of `leaf` of targets/busy.py: its count, its loop, what is in the loop.
COUNTED, LOOP, BODY = 2, 4, 5
PASSES = 5
MODES = ("calls", "callers", "functions", "lines", "cover", "trace")
HOOKS = ("tools", "profile", "trace", "threads", "os_threads", "fds")


def start(link: AgentLink, collector: str, **options: object) -> None:
    link.channel.request("start", timeout_s=REQUEST_TIMEOUT_S, session=collector, collector=collector, options=options)


def stop(link: AgentLink, collector: str) -> Profile:
    bulk = link.channel.request("stop", timeout_s=REQUEST_TIMEOUT_S, session=collector).bulk
    return read_table(bulk, replace(header(), collector=collector), PID)


def leaves(program: Program) -> int:
    count: int = program.ask_json("counters")["leaf"]
    return count


def goes_on(program: Program, calls: int = 500) -> None:
    """Waits until the program has done so much more."""
    goal = leaves(program) + calls
    assert becomes(lambda: leaves(program) >= goal, LIMIT_S)


def lines_of(profile: Profile, name: str) -> dict[int, int]:
    """The figures of a function's lines, by their distance from its first."""
    found = {}
    for node, row in enumerate(profile.node_locations):
        place = profile.locations[row]
        function = profile.functions[place.function]
        if function.name == name and function.file.endswith("/busy.py"):
            found[place.line - function.first_line] = profile.columns[0].values[node]
    return found


def names(profile: Profile) -> set[str]:
    return {profile.functions[profile.function_of(node)].name for node in range(len(profile.parents))}


def test_lines_are_counted_as_often_as_they_run(interpreter: Interpreter, spawn: Spawn, attacher: Attacher) -> None:
    program = spawn(interpreter, "busy")
    with attached(attacher, program.pid) as link:
        before = leaves(program)
        start(link, "lines")
        # A call may have been half done at the start, and at the end: it ends before the next look.
        goes_on(program, 1)
        began = leaves(program)
        goes_on(program)
        ended = leaves(program)
        profile = stop(link, "lines")
        goes_on(program, 1)
        after = leaves(program)
        detach(link)
    found = lines_of(profile, "leaf")
    assert ended - began <= found[COUNTED] <= after - before
    # The first and the last call may be counted in part.
    assert abs(found[LOOP] - (PASSES + 1) * found[COUNTED]) <= PASSES + 1
    assert abs(found[BODY] - PASSES * found[COUNTED]) <= PASSES
    # Its frame ran before anybody looked.
    assert (ended - began) // 12 - 1 <= max(lines_of(profile, "main").values()) <= (after - before) // 12 + 1
    assert profile.header.lost == {}
    assert not [one for one in profile.functions if one.file.startswith("<execd")]


def test_all_modes_at_once_in_any_order_of_leaving(interpreter: Interpreter, spawn: Spawn, attacher: Attacher) -> None:
    program = spawn(interpreter, "busy")
    state, look = program.ask_json("state"), footprint(program.pid)
    with attached(attacher, program.pid) as link:
        for order in (MODES, MODES[::-1], MODES[3:] + MODES[:3]):
            for mode in MODES:
                start(link, mode)
            goes_on(program, 50)
            profiles = {mode: stop(link, mode) for mode in order}
            assert {"leaf", "middle", "outer"} <= names(profiles["functions"])
            assert {COUNTED, LOOP, BODY} <= set(lines_of(profiles["cover"], "leaf"))
            assert lines_of(profiles["lines"], "leaf")[COUNTED] >= 50
            assert {"leaf", "middle", "outer"} <= names(profiles["calls"]) & names(profiles["callers"])
            assert names(profiles["trace"])
            assert [list(one.header.caveats) for one in profiles.values()] == [[]] * len(MODES)
        detach(link)
    settled(program.pid, look)
    after = program.ask_json("state")
    assert {name: after[name] for name in HOOKS if name in after} == {
        name: state[name] for name in HOOKS if name in state
    }
    counts = [leaves(program) for _ in range(2)]
    assert all(earlier <= later for earlier, later in pairwise(counts))
    assert program.stderr() == ""


def test_lines_that_are_left_out_are_not_counted(
    local_interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(local_interpreter, "busy")
    with attached(attacher, program.pid) as link:
        start(link, "lines", ignore_modules=["line_protocol", "threading"])
        goes_on(program, 50)
        profile = stop(link, "lines")
        detach(link)
    files = {profile.functions[profile.function_of(node)].file for node in range(len(profile.parents))}
    assert {file.rpartition("/")[2] for file in files} >= {"busy.py"}
    assert not [file for file in files if file.endswith(("line_protocol.py", "/threading.py"))]
    assert isinstance(profile.header.extra["prefix"], str)
    assert profile.header.extra["search_path"]


def test_the_lines_of_a_source_come_from_the_targets_own_compiler(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(interpreter, "busy")
    source = 'def one(x):\n    """Doc."""\n    return [\n        y for y in x]\n\n\nnothing = "\\d"\n'
    with attached(attacher, program.pid) as link:
        asked = {"timeout_s": REQUEST_TIMEOUT_S, "source": source, "file": "/srv/one.py"}
        facts = link.channel.request("executable_lines", first_line=11, **asked).facts
        assert {11, 13, 17} <= set(facts["lines"]) <= {11, 12, 13, 14, 17}
        assert ["one", 11] in facts["functions"]
        with pytest.raises(CollectorRefused, match="SyntaxError"):
            link.channel.request("executable_lines", first_line=1, **{**asked, "source": "def ("})
        detach(link)
    assert program.stderr() == ""
