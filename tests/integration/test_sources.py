"""Sources of a running target on every version: the texts that it sees, the lines that its own version can run."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from execd.model import codec
from execd_api.v1 import sessions_pb2
from programs import SOURCES

if TYPE_CHECKING:
    from conftest import Spawn
    from daemons import Daemon
    from execd.model.profile import Profile
    from interpreters import Interpreter
    from programs import Program

FIND = "import sys, trace; print(*sorted(n for n in trace._find_executable_linenos(sys.argv[1]) if n))"


def recorded(daemon: Daemon, program: Program, collector: str) -> Profile:
    """The final profile of a program that does the known workload."""
    options = json.dumps({"ignore_modules": [], "ignore_dirs": []})
    spec = sessions_pb2.SessionSpec(collector=collector, options_json=options)
    session = daemon.attach(program.pid, spec).sessions[0]
    program.ask("work 1")
    daemon.detach(program.pid)
    return codec.decode(daemon.final_profile(session.id))


def runnable(interpreter: Interpreter, path: str) -> list[int]:
    """What trace marks in a listing where it did not run."""
    command = [*interpreter.argv, "-c", FIND, path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    return [int(line) for line in done.stdout.split()]


@pytest.mark.parametrize("collector", ["lines", "cover"])
def test_every_file_that_ran_is_there_with_the_lines_that_can_run(
    daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn, collector: str
) -> None:
    assert_sources(daemon, local_interpreter, spawn, collector)


@pytest.mark.soak
@pytest.mark.parametrize("collector", ["lines", "cover"])
def test_every_file_that_ran_is_there_with_the_lines_of_its_version(
    daemon: Daemon, interpreter: Interpreter, spawn: Spawn, collector: str
) -> None:
    assert_sources(daemon, interpreter, spawn, collector)


def assert_sources(daemon: Daemon, interpreter: Interpreter, spawn: Spawn, collector: str) -> None:
    """The files of the known workload are those on the disk, and its lines those of its version."""
    profile = recorded(daemon, spawn(interpreter, "reading"), collector)
    assert {file.path: file.problem for file in profile.files if file.problem} == {}
    files = {Path(file.path).name: file for file in profile.files}
    workload, library = files["workload.py"], files["contextlib.py"]
    assert workload.digest == hashlib.sha256((SOURCES / "workload.py").read_bytes()).hexdigest()
    for file in (workload, library):
        assert list(file.lines) == runnable(interpreter, file.path)
    listing = daemon.execctl("report", "--format", "cover")
    assert "def fibonacci(n):" in listing
