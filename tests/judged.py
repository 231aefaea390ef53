"""Judged work: a program of pyperformance (targets/benchmarked.py) runs once while it is recorded."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from execd_api.v1 import sessions_pb2

if TYPE_CHECKING:
    from daemons import Daemon
    from interpreters import Interpreter
    from programs import Program

# A dozen and some that need the standard library alone.
PROGRAMS = (
    "chaos",
    "comprehensions",
    "deepcopy",
    "deltablue",
    "fannkuch",
    "float",
    "go",
    "hexiom",
    "json_dumps",
    "nbody",
    "nqueens",
    "raytrace",
    "spectral_norm",
    "unpack_sequence",
)
# What tells the program when to work.
OWN_FILES = ("/benchmarked.py", "/line_protocol.py")
WORK_TIMEOUT_S = 60.0
COMPILE_TIMEOUT_S = 120.0
POLL_S = 0.2


def packages(interpreter: Interpreter, *wanted: str) -> str:
    """The folder of packages for an interpreter, as its processes name it; skips where one is not installed."""
    place = os.environ.get("EXECD_TEST_PACKAGES", "")
    if not place:
        pytest.skip("EXECD_TEST_PACKAGES names no folder: see tests/install_packages.py")
    folder = f"{place}/{interpreter.version}"
    for package in wanted:
        if not (Path(interpreter.root or "/") / folder.lstrip("/") / package).is_dir():
            pytest.skip(f"no {package} for CPython {interpreter.version} in {folder}")
    return folder


def recorded(daemon: Daemon, program: Program, *collectors: str) -> list[str]:
    """The ended sessions of a program's work, the first of them of lines; all sources are read and compiled."""
    specs = [sessions_pb2.SessionSpec(collector=one, options_json=json.dumps({})) for one in collectors]
    sessions = [one.id for one in daemon.attach(program.pid, *specs).sessions]
    assert program.ask("work", WORK_TIMEOUT_S) == "done"
    deadline = time.monotonic() + COMPILE_TIMEOUT_S
    # Sources are compiled in the target little by little.
    while found := problems(daemon, sessions[0]):
        assert time.monotonic() < deadline, found
        time.sleep(POLL_S)
    daemon.detach(program.pid)
    return sessions


def problems(daemon: Daemon, session: str) -> dict[str, str]:
    """What is not right with the files of a session that goes on, as a fresh snapshot has them."""
    daemon.execctl("snapshot", session)
    return {file["path"]: file["problem"] for file in daemon.report(session)["files"] if file["problem"]}


def is_own(path: str) -> bool:
    """Whether a file is what tells the program when to work."""
    return path.endswith(OWN_FILES)
