"""Two operators on one target, each with every mode: each gets what ran since he began, until he stops."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from execd_api.v1 import sessions_pb2
from footprint import footprint, settled

if TYPE_CHECKING:
    from conftest import Spawn
    from daemons import Daemon
    from interpreters import Interpreter
    from programs import Program

PROGRAM = "traced_work"
COLLECTORS = ("lines", "cover", "functions", "callers", "calls", "memory", "trace")
# A session of lines whose sources are few ends sooner.
OWN_CODE = {"ignore_modules": ["line_protocol"], "ignore_dirs": ["$prefix", "$exec_prefix"]}
OPTIONS = {
    "lines": OWN_CODE,
    "cover": OWN_CODE,
    "calls": {"builtins": True, "subcalls": True},
    "trace": {"function": "step"},
}
# The first line of `step` that counts, and the events of a step beside its call.
STEP_LINE = 21
LINES_OF_A_STEP = 3


def attach(daemon: Daemon, program: Program) -> dict[str, str]:
    """The sessions of an operator, one of each collector."""
    specs = [
        sessions_pb2.SessionSpec(collector=one, options_json=json.dumps(OPTIONS.get(one, {}))) for one in COLLECTORS
    ]
    started = daemon.attach(program.pid, *specs).sessions
    return {collector: one.id for collector, one in zip(COLLECTORS, started, strict=True)}


def line_hits(report: dict[str, Any]) -> int:
    """How often the first line of `step` ran."""
    hits = dict(next(file["hits"] for file in report["files"] if file["path"].endswith(f"/{PROGRAM}.py")))
    return int(hits.get(STEP_LINE, 0))


def assert_recorded(daemon: Daemon, sessions: dict[str, str], steps: int, *, has_spun: bool) -> None:
    """What an operator recorded: so many steps, and `spin` where it ran in his time."""
    reports = {collector: daemon.report(session) for collector, session in sessions.items() if collector != "memory"}
    assert line_hits(reports["lines"]) == steps
    assert line_hits(reports["cover"]) == 1
    assert ("spin" in {row["name"] for row in reports["functions"]["functions"]}) is has_spun
    calls = {(row["caller"]["name"], row["callee"]["name"]): row["calls"] for row in reports["callers"]["calls"]}
    assert calls["steps", "step"] == steps
    assert (("answer", "spin") in calls) is has_spun
    (row,) = [row for row in reports["calls"]["functions"] if row["name"] == "step"]
    assert row["calls"] == steps
    assert reports["trace"]["totals"] == {"lines": LINES_OF_A_STEP * steps, "calls": steps, "lost": 0}
    assert "Top 10 lines" in daemon.execctl("report", sessions["memory"])


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_two_operators_have_every_mode_and_their_own_beginning_and_end(
    daemon: Daemon, interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(interpreter, PROGRAM)
    before = footprint(program.pid)
    first = attach(daemon, program)
    program.ask("spin 0")
    program.ask("steps 2")
    second = attach(daemon, program)
    program.ask("steps 3")
    for session in first.values():
        daemon.execctl("stop", session)
    program.ask("steps 4")
    assert program.ask_json("state")["tracing_memory"] is True
    for session in second.values():
        daemon.execctl("stop", session)
    assert_recorded(daemon, first, 5, has_spun=True)
    assert_recorded(daemon, second, 7, has_spun=False)
    daemon.detach(program.pid)
    assert program.ask_json("state")["tracing_memory"] is False
    assert settled(program.pid, before) == before
    assert program.stderr() == ""
