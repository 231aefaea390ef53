"""What execd itself allocates in a target: it is counted, and is in no figure of the target's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from execd_api.v1 import sessions_pb2

if TYPE_CHECKING:
    from conftest import Spawn
    from daemons import Daemon
    from interpreters import Interpreter

# With one frame a block has no other that says whose it is.
MEMORY = sessions_pb2.SessionSpec(collector="memory", options_json='{"nframe": 1}')


@pytest.mark.parametrize("interpreter", ["3.9", "3.12", "3.15"], indirect=True)
def test_a_target_that_allocates_nothing_shows_nothing_of_ours(
    daemon: Daemon, interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(interpreter, "allocating")
    session = daemon.attach(program.pid, MEMORY).sessions[0]
    for _ in range(2):
        # The first one loads what a snapshot takes.
        daemon.execctl("snapshot", session.id)
    report = json.loads(daemon.execctl("report", session.id, "--json"))
    assert report["totals"] == {"count": 0, "size": 0}, report["statistics"]
    assert report["profile"]["extra"]["own_blocks"] > 0
    daemon.detach(program.pid)
    assert program.stderr() == ""


@pytest.mark.parametrize("interpreter", ["3.9", "3.12", "3.15"], indirect=True)
def test_a_target_that_traced_itself_before_the_attach_shows_no_text_of_ours(
    daemon: Daemon, interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(interpreter, "allocating", "traced")
    session = daemon.attach(program.pid, MEMORY).sessions[0]
    daemon.execctl("snapshot", session.id)
    report = json.loads(daemon.execctl("report", session.id, "--json", "--by", "traceback"))
    files = {frame["file"] for one in report["statistics"] for frame in one["frames"]}
    assert any(file.endswith("allocating.py") for file in files)
    # The text that is injected; extension modules that it loads are the interpreter's, and stay.
    assert [file for file in files if file == "<string>" or file.startswith("<execd_agent")] == []
    assert report["profile"]["extra"]["own_blocks"] > 0
    daemon.detach(program.pid)
    assert program.ask_json("tracing") == [True, 2]
