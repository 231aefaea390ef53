"""`execctl report A B`: what several sessions recorded, as one report."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from execd.model import codec
from execd.reports import ReportOptions, render
from execd_api.v1.sessions_pb2 import SessionSpec

if TYPE_CHECKING:
    from conftest import Spawn
    from daemons import Daemon
    from interpreters import Interpreter

# Those whose reports take their figures from the nodes in a way of their own; of calls test_pstats.py tells.
COLLECTORS = ("lines", "memory")
TIMEOUT_S = 60


def figures(report: dict[str, Any]) -> Counter[Any]:
    """What a JSON report says, as amounts that can be added."""
    if report["report"] == "lines":
        return Counter({(file["path"], line): hits for file in report["files"] for line, hits in file["hits"]})
    return Counter({json.dumps(one["frames"]): one["size"] for one in report["statistics"]})


def test_the_figures_of_several_sessions_add_up(daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn) -> None:
    specs = [
        SessionSpec(collector=one, options_json='{"nframe": 2}' if one == "memory" else "{}") for one in COLLECTORS
    ]
    sessions: list[list[str]] = []
    for passes in (1, 2):
        program = spawn(local_interpreter, "reading")
        sessions.append([session.id for session in daemon.attach(program.pid, *specs).sessions])
        program.ask(f"work {passes}")
        daemon.detach(program.pid)
    for collector, pair in zip(COLLECTORS, zip(*sessions, strict=True), strict=True):
        settings = {"by": "traceback"} if collector == "memory" else {}
        stored = [codec.decode(daemon.final_profile(one)) for one in pair]
        parts = [figures(json.loads(render(one, "json", ReportOptions(settings=settings)))) for one in stored]
        whole = daemon.report(*pair, *(["--by", "traceback"] if settings else []))
        assert figures(whole) == parts[0] + parts[1]
        assert parts[0], collector
        assert [one["session"] for one in whole["profile"]["extra"]["merged"]] == list(pair)


def test_what_does_not_fit_is_refused_by_both_names(
    daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(local_interpreter, "reading")
    lines = SessionSpec(collector="lines", options_json="{}")
    started = daemon.attach(program.pid, lines, SessionSpec(collector="functions", options_json="{}")).sessions
    daemon.detach(program.pid)
    profiles = [daemon.session(one.id).latest_profile for one in started]
    process = daemon.start_execctl("report", *(one.id for one in started))
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert (out, process.returncode) == ("", 2)
    assert f"{profiles[0]} is of lines, {profiles[1]} of functions: they do not add up" in err
