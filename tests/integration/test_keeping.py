"""What becomes of recordings of running programs: sums that grow by session after session, merges, labels, removals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conftest import Spawn
    from daemons import Daemon
    from interpreters import Interpreter

# Calls of `fibonacci` in one pass of the known workload.
FIBONACCI = 177
TIMEOUT_S = 60


def calls_of(daemon: Daemon, subject: str) -> int:
    """How often `fibonacci` was called, by a report."""
    document = json.loads(daemon.execctl("report", subject, "--json"))
    return sum(row["calls"] for row in document["functions"] if row["name"] == "fibonacci")


def listed(daemon: Daemon, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(daemon.execctl("profiles", *words, "--json"))["profiles"]
    return found


def test_runs_add_up_in_one_profile_and_merge(daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn) -> None:
    into = "nightly"
    sessions = []
    for passes in (1, 2):
        program = spawn(local_interpreter, "reading")
        words = ("--profile", "--into", into, "--label", f"run={passes}", "--label", f"of={into}")
        sessions.append(daemon.execctl("attach", str(program.pid), *words).strip())
        program.ask(f"work {passes}")
        daemon.detach(program.pid)
    assert calls_of(daemon, into) == 3 * FIBONACCI
    assert calls_of(daemon, sessions[0]) == FIBONACCI
    merged = daemon.execctl("merge", *sessions, "--name", f"{into}-merged").strip()
    text = daemon.execctl("report", merged, "--limit", "fibonacci")
    assert f"{3 * FIBONACCI:,}/3" in text.split()
    assert "Sum of: 2 profiles" in text
    assert all(f"session {session}" in " ".join(text.split()) for session in sessions)
    assert [row["session"] for row in listed(daemon, "--label", f"of={into}", "--label", "run=2")] == [sessions[1]]


def test_a_running_sessions_profile_is_removed_only_where_that_is_said(
    daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(local_interpreter, "reading")
    session = daemon.record_calls(program.pid).id
    snapshot = daemon.execctl("snapshot", session, "--name", "mid").strip()
    daemon.execctl("profiles", "label", snapshot, "when=mid", "what=known")
    daemon.execctl("profiles", "rename", "mid", "half way")
    (row,) = listed(daemon, session, "--label", "when=mid", "--newer-than", "1h", "--collector", "calls")
    assert (row["id"], row["name"], row["running"]) == (snapshot, "half way", True)
    with daemon.start_execctl("profiles", "rm", "--yes", "half way") as execctl:
        out, told = execctl.communicate(timeout=TIMEOUT_S)
    assert (execctl.returncode, out.split()) == (0, [snapshot])
    assert f"{snapshot} is of session {session}, which goes on" in told
    daemon.detach(program.pid)
    assert [row["running"] for row in listed(daemon, session)] == [False]


def execd(root: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs `execd` with places of its own below a directory."""
    places = ["--socket", f"{root}/run/s", "--data-dir", f"{root}/data"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EXECD_S")}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-m", "execd", *words, *places]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=environment)


def test_how_long_profiles_are_kept_is_told_and_not_changed_by_a_second_start() -> None:
    root = tempfile.mkdtemp(prefix="ex")
    try:
        assert execd(root, "start", "--keep-days", "7.5", "--keep-bytes", "500MB").returncode == 0
        assert "keep days: 7.5\nkeep bytes: 524288000\n" in execd(root, "status").stdout
        other = execd(root, "start", "--keep-days", "8")
        assert (other.returncode, "keeps profiles for 7.5 days and up to 524288000 bytes" in other.stderr) == (2, True)
        wrong = execd(root, "start", "--keep-bytes", "5")
        assert (wrong.returncode, "'5' is no size" in wrong.stderr) == (2, True)
    finally:
        execd(root, "stop")
        shutil.rmtree(root)
