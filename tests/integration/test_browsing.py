"""`execctl browse`, driven through a pipe: line by line what `python -m pstats` says on the same files."""

from __future__ import annotations

import cProfile
import json
import os
import pty
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Spawn
    from daemons import Daemon
    from interpreters import Interpreter

TIMEOUT_S = 60
# {one} and {two} are files. Callees are printed before a file is added: pstats does not look for new ones.
SCRIPT = """\
help
help stats
?sort
help nothing
read {folder}/missing
read missing.prof
read {folder}
read {one}
stats
sort
sort tottime nam
sort bogus
sort 2
stats 5
reverse
stats 0.2 deep 3
reverse
stats .5

callers deep
callees deep
strip
stats 4
sort nfl
stats 1.5 4 1e-1 0
stats 1e-5 nan
callees deep|even
add {two}
stats 7
sort cumulative
callees deep
callers 3
strip
callees deep
add {folder}/missing
add ./missing
add
stats (
stats -4
foo
read
sort stdname line
stats 6
help quit
"""


def deep(n: int) -> int:
    return deep(n - 1) + len(str(n)) if n else 0


def even(n: int) -> bool:
    return n == 0 or not even(n - 1)


def write_files(folder: Path) -> dict[str, Path]:
    """Files of cProfile, and where they lie."""
    files = {name: folder / f"{name}.prof" for name in ("one", "two")}
    for file, work in zip(files.values(), (deep, even), strict=True):
        profile = cProfile.Profile()
        profile.runcall(work, 30)
        profile.runcall(json.dumps, [1, {"a": 2}])
        profile.dump_stats(file)
    return {**files, "folder": folder}


def browse(daemon: Daemon, script: str, *subjects: str) -> tuple[str, str]:
    """What execctl prints and notes; the end of the script is that of its input."""
    process = daemon.start_execctl("browse", *subjects, stdin=subprocess.PIPE)
    out, err = process.communicate(script, timeout=TIMEOUT_S)
    assert process.returncode == 0, err
    return out, err


def browse_with_pstats(script: str, *files: str) -> str:
    """What pstats prints."""
    command = [sys.executable, "-m", "pstats", *files]
    return subprocess.run(command, input=script, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout


def test_every_verb_says_what_the_browser_of_pstats_says(daemon: Daemon, tmp_path: Path) -> None:
    files = write_files(tmp_path)
    script, given = SCRIPT.format(**files), [os.fspath(files["two"]), os.fspath(files["one"])]
    out, err = browse(daemon, script, *given)
    theirs = browse_with_pstats(script, *given)
    assert out.splitlines() == theirs.splitlines()
    assert out == theirs
    assert "deep" in out
    assert err.count("imported") == 2


def test_a_session_that_goes_on_is_looked_at_by_a_snapshot(
    daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(local_interpreter, "reading")
    session = daemon.record_calls(program.pid).id
    program.ask("work 2")
    out, err = browse(daemon, "sort calls\nstats fibonacci\n/fibo.*\n/(\nread nobody\n", session)
    (profile,) = [word for word in err.split() if word.startswith("p") and word[1:].isdigit()]
    stored = {one["id"]: one["reason"] for one in json.loads(daemon.execctl("profiles", "--json"))["profiles"]}
    assert stored[profile] == "snapshot"
    assert out.startswith("Welcome to the profile statistics browser.\n" + f"{session}% ")
    assert f"    {profile}\n" in out
    assert "    354/2" in out
    assert "workload.py:" in out.rpartition("(fibonacci)\n")[0].rpartition("\n")[2]
    assert "<Invalid regular expression '('>" in out
    assert "no profile, session or process 'nobody'" in err
    daemon.detach(program.pid)


def read_until(terminal: int, text: str) -> str:
    """What comes from a terminal until a text has."""
    found, deadline = "", time.monotonic() + TIMEOUT_S
    while text not in found:
        assert select.select([terminal], [], [], max(deadline - time.monotonic(), 0))[0], found
        found += os.read(terminal, 1 << 16).decode()
    return found


def test_a_terminal_completes_verbs_keys_and_names_and_keeps_a_history(daemon: Daemon, tmp_path: Path) -> None:
    file = write_files(tmp_path)["one"]
    controller, terminal = pty.openpty()
    process = daemon.start_execctl(
        "browse",
        os.fspath(file),
        stdin=terminal,
        stdout=terminal,
        env={"XDG_STATE_HOME": os.fspath(tmp_path), "TERM": "dumb"},
    )
    os.close(terminal)
    read_until(controller, ".prof% ")
    shown = ""
    for typed, answer in (("so\t cumu\t\n", "\n"), ("stats dee\t\n", "<'deep'>"), ("/dum.s\n", "(dumps)")):
        os.write(controller, typed.encode())
        shown += read_until(controller, answer)
    os.write(controller, b"quit\n")
    read_until(controller, "Goodbye.")
    _, err = process.communicate(timeout=TIMEOUT_S)
    os.close(controller)
    assert (process.returncode, "Ctrl-R" in err) == (0, True)
    assert "stats deep" in (tmp_path / "execd" / "browse_history").read_text()
    assert "Ordered by: cumulative time" in shown
