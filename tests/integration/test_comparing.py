"""`execctl growth`, `diff`, `report -C` on running programs: what the commands ask, the daemon and the agent answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from execd_api.v1 import sessions_pb2

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Spawn
    from daemons import Daemon
    from interpreters import Interpreter

MEMORY = sessions_pb2.SessionSpec(collector="memory", options_json='{"nframe": 3}')
LINES = sessions_pb2.SessionSpec(collector="lines", options_json="{}")
CHURNED = 2_000
STEPS = (10, 25, 40)


def test_what_leaks_grows_and_what_comes_and_goes_does_not(
    daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(local_interpreter, "allocating")
    pid = str(program.pid)
    session = daemon.attach(program.pid, MEMORY).sessions[0].id
    taken = []
    for place, leaked in enumerate(STEPS):
        program.ask(f"churn {CHURNED - place % 2}")
        size = program.ask_json(f"leak {leaked}")
        taken.append(daemon.execctl("snapshot", session).strip())
    grown = json.loads(daemon.execctl("growth", pid, "--include", "*/allocating.py", "--json"))
    assert [profile["id"] for profile in grown["profiles"]] == taken
    (leak,) = grown["growth"]
    assert (leak["count"], leak["size"]) == (list(STEPS), [size * leaked for leaked in STEPS])
    assert leak["frames"][-1]["file"].endswith("allocating.py")
    assert "from " in daemon.execctl("growth", session, "--by", "traceback", "--last", "2")
    # The same between two of them, by whatever names they have.
    for words in ((taken[0], taken[2]), (taken[0], pid)):
        changes = daemon.execctl("diff", *words, "--by", "lineno", "--include", "*/allocating.py")
        assert f"count={STEPS[2]} (+{STEPS[2] - STEPS[0]})" in changes


def test_types_grow_from_census_to_census(daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(local_interpreter, "allocating")
    pid = str(program.pid)
    first = daemon.execctl("snapshot", pid, "--by", "type").strip()
    program.ask("kinds 30")
    assert "__main__.Kept" in daemon.execctl("snapshot", pid, "--by", "type", "--compare")
    grown = json.loads(daemon.execctl("growth", pid, "--by", "type", "--last", "2", "--json"))
    assert grown["profiles"][0]["id"] == first
    (kept,) = [row for row in grown["growth"] if row["type"] == "__main__.Kept"]
    assert kept["count"] == [0, 30]
    assert program.ask_json("tracing")[0] is False


def test_the_listing_of_a_program_is_written_below_a_directory(
    daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn, tmp_path: Path
) -> None:
    program = spawn(local_interpreter, "allocating")
    session = daemon.attach(program.pid, LINES).sessions[0].id
    earlier = daemon.execctl("snapshot", session).strip()
    program.ask("plain 7")
    program.ask("plain 8")
    # The last profile waits for the sources.
    daemon.execctl("stop", session)
    summary = daemon.execctl("report", session, "-C", str(tmp_path), "--missing", "--summary")
    assert "lines   cov%   module   (path)" in summary
    (listing,) = tmp_path.rglob("*allocating.cover")
    lines = listing.read_text().splitlines()
    assert "    2:     return sys.getallocatedblocks()" in lines
    assert ">>>>>>     return len(CHURNED)" in lines
    assert "return sys.getallocatedblocks()" in daemon.execctl("diff", earlier, session)
