"""Started programs: one by its interpreter and by `execctl run`, and what the standard library counts in it."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
from footprint import becomes

if TYPE_CHECKING:
    from pathlib import Path

    from daemons import Daemon
    from execd_api.v1.sessions_pb2 import Session
    from interpreters import Interpreter
    from programs import ProgramFolders

TIMEOUT_S = 60.0
RECORDED = "execctl: recorded "
# What trace.py and cProfile.py do with a program, and what they have seen of its own file.
WITH_TRACE = """
import json, sys, trace
tracer, path = trace.Trace(count=1, trace=0), sys.argv[1]
with open(path) as file:
    code = compile(file.read(), path, "exec")
sys.argv[:] = sys.argv[1:]
names = {"__file__": path, "__name__": "__main__", "__package__": None, "__cached__": None}
tracer.runctx(code, names, names)
counts = tracer.results().counts
json.dump([[line, count] for (file, line), count in counts.items() if file == path], sys.stderr)
"""
WITH_CPROFILE = """
import cProfile, json, sys
profile, path = cProfile.Profile(), sys.argv[1]
with open(path) as file:
    code = compile(file.read(), path, "exec")
sys.argv[:] = sys.argv[1:]
names = {"__file__": path, "__name__": "__main__", "__package__": None, "__cached__": None}
profile.runctx(code, names, names)
profile.create_stats()
rows = [[file.rpartition("/")[2], line, name, calls] for (file, line, name), (_, calls, *_) in profile.stats.items()]
json.dump(rows, sys.stderr)
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and what it has written."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Starter:
    """Starts programs of tests/targets under one interpreter.

    Attributes:
        python: a command that is the interpreter, a script where that lies in another root.
        version: (3, 11).
        folder: where the programs lie, as the interpreter names it.
    """

    python: str
    version: tuple[int, int]
    folder: str

    def words(self, program: str, *arguments: str) -> list[str]:
        """What follows the interpreter's name."""
        return [f"{self.folder}/{program}.py", *arguments]

    def plain(self, *words: str, **variables: str) -> Ended:
        """Starts a program without us."""
        return ended([self.python, *words], variables)

    def run(self, daemon: Daemon, modes: tuple[str, ...], *words: str, **variables: str) -> Ended:
        """Starts it by `execctl run`."""
        return ended(self.command(daemon, modes, *words), variables)

    def command(self, daemon: Daemon, modes: tuple[str, ...], *words: str) -> list[str]:
        """The command line of that."""
        return [*daemon.execctl_command(), "run", *modes, "--python", self.python, "--", *words]

    def oracle(self, code: str, program: str) -> list[Any]:
        """What a tool of the standard library counts."""
        rows: list[Any] = json.loads(self.plain("-c", code, *self.words(program)).stderr)
        return rows


def starter(interpreter: Interpreter, folders: ProgramFolders, scripts: Path) -> Starter:
    """A starter for an interpreter, in this root or in another one."""
    path = folders.command(interpreter, "started", ())[-1]
    python = interpreter.executable
    if interpreter.root:
        script = scripts / f"python{interpreter.version}"
        script.write_text(f'#!/bin/sh\nexec chroot {interpreter.root} {interpreter.executable} "$@"\n', "ascii")
        script.chmod(0o700)
        python = str(script)
    return Starter(python, interpreter.version_info, path.rpartition("/")[0])


def environment(variables: dict[str, str]) -> dict[str, str]:
    """A user's environment: that of the tests has a PYTHONPATH of its own."""
    own = ("PYTHONPATH", "EXECD_SOCKET", "EXECD_DATA_DIR")
    kept = {name: value for name, value in os.environ.items() if name not in own}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", **variables}


def ended(command: list[str], variables: dict[str, str]) -> Ended:
    """Runs a command to its end, with text to read on stdin that is no line."""
    done = subprocess.run(
        command, env=environment(variables), input=b"a line", capture_output=True, timeout=TIMEOUT_S, check=False
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def recorded(stderr: str) -> list[str]:
    """The sessions that execctl names at the end."""
    lines = [line for line in stderr.splitlines() if line.startswith(RECORDED)]
    return [line.removeprefix(RECORDED).split()[0] for line in lines]


def session_of(daemon: Daemon, process: subprocess.Popen[bytes]) -> Session:
    """The session of the program that an execctl has started; it is listed a moment after the program's first line."""
    pids = {child.pid for child in psutil.Process(process.pid).children()}
    assert pids
    assert becomes(lambda: daemon.session(daemon.latest_session()).pid in pids, TIMEOUT_S)
    return daemon.session(daemon.latest_session())
