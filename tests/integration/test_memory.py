"""Memory tracing and the census on running programs, through the daemon and the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from execd_api.v1 import sessions_pb2
from footprint import footprint, settled

if TYPE_CHECKING:
    from conftest import Spawn
    from daemons import Daemon
    from interpreters import Interpreter

MEMORY = sessions_pb2.SessionSpec(collector="memory", options_json='{"nframe": 3}')
CENSUS = sessions_pb2.SessionSpec(collector="census", options_json="{}")
VERSIONS = ("3.9", "3.12", "3.13", "3.15")
CHURNED = 20_000
LEAKED = 64
KINDS = 300
BLOCKS_OF_A_LONG_SEARCH = 400_000
BLOCKS_OF_A_LONG_CENSUS = 1_100_000


def usage(failure: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    """The details of an error of the user's."""
    call = failure.value
    assert isinstance(call, grpc.Call)
    assert call.code() is grpc.StatusCode.INVALID_ARGUMENT
    return str(call.details())


def of_type(report: dict[str, Any], name: str) -> dict[str, Any]:
    (row,) = [row for row in report["types"] if row["type"] == name]
    return dict(row)


@pytest.fixture(params=VERSIONS)
def some_interpreter(request: pytest.FixtureRequest, interpreters: dict[str, Interpreter]) -> Interpreter:
    """The versions between which the ways to start and to stop tracing differ."""
    if request.param not in interpreters:
        pytest.skip(f"no CPython {request.param} on this machine")
    return interpreters[request.param]


def test_a_planted_leak_is_the_first_line_of_the_comparison(
    daemon: Daemon, some_interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(some_interpreter, "allocating")
    before = footprint(program.pid)
    session = daemon.attach(program.pid, MEMORY).sessions[0]
    assert program.ask_json("tracing") == [True, 3]
    program.ask(f"churn {CHURNED}")
    daemon.execctl("snapshot", session.id)
    program.ask(f"churn {CHURNED}")
    size = program.ask_json(f"leak {LEAKED}")
    assert program.ask_json("fork") == 0
    lines = daemon.execctl("snapshot", session.id, "--compare").splitlines()
    first = lines[1 + next(place for place, line in enumerate(lines) if line.startswith("change"))]
    assert first.split()[:4] == ["new", f"{LEAKED * size / 1024:+.1f}", "KiB", f"+{LEAKED:,}"]
    assert "allocating.py:" in first
    assert any("size=" in line and f"count={LEAKED} (+{LEAKED})" in line for line in lines)
    top = daemon.execctl("report", session.id)
    assert "Top 10 lines" in top
    assert "of RSS" in top
    assert "<execd_agent" not in top
    daemon.detach(program.pid)
    assert program.ask_json("tracing")[0] is False
    assert settled(program.pid, before) == before
    assert program.stderr() == ""


def test_what_memory_tells_and_where_it_lies(daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(local_interpreter, "allocating")
    daemon.attach(program.pid, MEMORY)
    program.ask(f"churn {CHURNED}")
    program.ask("churn 0")
    program.ask("kinds 5")
    pid = str(program.pid)
    peak = json.loads(daemon.execctl("memory", pid, "--json"))["figures"]
    assert peak["peak_bytes"] > CHURNED * 200 > peak["traced_bytes"] > 0
    assert peak["rss_bytes"] > peak["traced_bytes"]
    assert peak["traceback_limit"] == 3
    reset = json.loads(daemon.execctl("memory", pid, "--reset-peak", "--json"))["figures"]
    assert reset["peak_bytes"] < CHURNED * 200
    found = json.loads(daemon.execctl("memory", pid, "--where", "__main__.Kept", "--json"))
    assert found["count"] == 5
    assert all(one["frames"][-1]["file"].endswith("allocating.py") for one in found["objects"])
    assert "traced at the peak" in daemon.execctl("memory", pid)
    assert "File" in daemon.execctl("memory", pid, "--where", "Kept")
    daemon.execctl("memory", pid, "--clear")
    assert program.ask_json("tracing") == [True, 3]


def test_a_program_that_traces_itself_goes_on_doing_so(
    daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(local_interpreter, "allocating", "traced")
    session = daemon.attach(program.pid, MEMORY).sessions[0]
    assert any("traces its memory itself" in caveat for caveat in session.caveats)
    with pytest.raises(AssertionError, match="the program's own"):
        daemon.execctl("memory", session.id, "--clear")
    daemon.detach(program.pid)
    assert program.ask_json("tracing") == [True, 2]


def test_a_census_counts_what_was_there_before_and_runs_nothing(
    daemon: Daemon, some_interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(some_interpreter, "allocating")
    kept = program.ask_json(f"kinds {KINDS}")
    before = footprint(program.pid)
    report = json.loads(daemon.execctl("census", str(program.pid), "--json"))
    assert of_type(report, "__main__.Kept")["count"] == kept == KINDS
    assert of_type(report, "__main__.Sized")["size"] < 1 << 20
    assert of_type(report, "builtins.str")["count"] > KINDS
    assert program.ask_json("asked") == 0
    assert settled(program.pid, before) == before
    assert program.stderr() == ""


def test_a_census_tells_who_refers_to_a_type(daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(local_interpreter, "allocating")
    program.ask_json(f"kinds {KINDS}")
    shown = daemon.execctl("census", str(program.pid), "--referrers", "__main__.Kept", "--limit", "Kept")
    assert "__main__.Kept" in shown
    assert "builtins.list" in shown.partition("refer to one of type")[2]


def test_a_long_census_is_asked_for(daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(local_interpreter, "allocating")
    assert program.ask_json(f"plain {BLOCKS_OF_A_LONG_CENSUS}") > BLOCKS_OF_A_LONG_CENSUS
    with pytest.raises(grpc.RpcError) as failure:
        daemon.attach(program.pid, CENSUS)
    assert "a census of up to" in usage(failure)
    report = json.loads(daemon.execctl("census", str(program.pid), "--yes", "--json"))
    assert report["profile"]["lost"] == {}
    assert of_type(report, "builtins.int")["count"] >= BLOCKS_OF_A_LONG_CENSUS
    # It is over when it has begun; its span is that in which it was taken.
    assert 0.05 < report["profile"]["ended_at"] - report["profile"]["started_at"] < 60


def test_a_long_search_for_objects_is_asked_for_and_told_of(
    daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(local_interpreter, "allocating")
    program.ask(f"plain {BLOCKS_OF_A_LONG_SEARCH}")
    daemon.attach(program.pid, MEMORY)
    program.ask("kinds 5")
    pid = str(program.pid)
    with pytest.raises(AssertionError, match=r"takes up to [0-9.]+ s .*(?s:.)*--yes"):
        daemon.execctl("memory", pid, "--where", "Kept")
    assert json.loads(daemon.execctl("memory", pid, "--where", "Kept", "--yes", "--json"))["count"] == 5
    shown = daemon.execctl("memory", pid, "--where", "int", "--yes", "--limit", "3")
    assert int(shown.partition(" objects")[0]) >= BLOCKS_OF_A_LONG_SEARCH
    assert "have no traceback: they were allocated before tracing began" in shown
