"""What a program has of its own stays its own in all processes of a tree; and what was said of one holds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from execd_api.v1 import sessions_pb2
from footprint import becomes
from starter import starter

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Spawn
    from daemons import Daemon
    from execd_api.v1.sessions_pb2 import Session
    from interpreters import Interpreter
    from programs import ProgramFolders

VERSIONS = ("3.9", "3.12")
SETTLE_S = 15.0
# A process that was forked is looked for after a second, and one that was let go of must not be found then.
FOUND_S = 2.5
QUIET = ("--profile", "--children", "--quiet")
# A child replaces os._exit after it has got ours, and its child ends by that.
OWN_EXIT = """
import os
def wait(child): assert os.waitpid(child, 0)[1] == 0
child = os.fork()
if child:
    wait(child)
else:
    real = os._exit
    def leave(status):
        print("left", flush=True)
        real(status)
    os._exit = leave
    child = os.fork()
    if child:
        wait(child)
    os._exit(0)
"""
# Functions of atexit, generation after generation: to take one out compares it with each that is registered.
GENERATIONS = """
import atexit, os
class Look:
    def __init__(self): self.compared = 0
    def __eq__(self, other): self.compared += 1
def generation(left):
    look = Look()
    atexit.unregister(look)
    print(look.compared, flush=True)
    child = os.fork() if left else 0
    if child:
        assert os.waitpid(child, 0)[1] == 0
    elif left:
        generation(left - 1)
        os._exit(0)
child = os.fork()
if child:
    assert os.waitpid(child, 0)[1] == 0
else:
    generation(3)
    os._exit(0)
"""
# Children that execute another program, and get a signal about then.
SIGNALLED = """
import os, signal, time
lost = 0
for number in range(20):
    child = os.fork()
    if not child:
        os.execv("/bin/sleep", ["sleep", "60"])
    time.sleep(0.001 * (number % 10))
    os.kill(child, signal.SIGTERM)
    for _ in range(500):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.01)
    else:
        lost += 1
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
print(lost)
"""


def spec(collector: str = "calls") -> sessions_pb2.SessionSpec:
    """A session of a tree."""
    return sessions_pb2.SessionSpec(collector=collector, options_json="{}", children=True)


def of_group(daemon: Daemon, first: Session) -> dict[int, int]:
    """The states of a group's newest sessions, by process."""
    found = [one for one in daemon.latest_sessions(100) if one.group == first.group]
    return {one.pid: one.state for one in reversed(found)}


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
@pytest.mark.parametrize(
    ("program", "printed"),
    [
        pytest.param(OWN_EXIT, ["left", "left"], id="an exit of its own is called in its children"),
        pytest.param(SIGNALLED, ["0"], id="a signal that ends a process ends it when it comes"),
    ],
)
def test_a_program_is_as_it_is_without_us(
    daemon: Daemon,
    interpreter: Interpreter,
    program_folders: ProgramFolders,
    tmp_path: Path,
    program: str,
    printed: list[str],
) -> None:
    ended = starter(interpreter, program_folders, tmp_path).run(daemon, QUIET, "-c", program)
    assert (ended.status, ended.stdout.split(), ended.stderr) == (0, printed, "")


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_no_function_of_atexit_is_added_by_a_generation(
    daemon: Daemon, interpreter: Interpreter, program_folders: ProgramFolders, tmp_path: Path
) -> None:
    ended = starter(interpreter, program_folders, tmp_path).run(daemon, QUIET, "-c", GENERATIONS)
    assert (ended.status, ended.stderr) == (0, "")
    assert len(set(ended.stdout.split())) == 1, ended.stdout


def test_what_is_recorded_later_is_recorded_of_all_that_are_there(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    program = spawn(local_interpreter, "brooding")
    first = daemon.attach(program.pid, spec()).sessions[0]
    kids = {program.ask_json("kid") for _ in range(2)}
    assert becomes(lambda: of_group(daemon, first).keys() == {program.pid, *kids}, SETTLE_S)
    second = daemon.attach(program.pid, spec("callers")).sessions[0]
    assert becomes(lambda: of_group(daemon, second).keys() == {program.pid, *kids}, SETTLE_S)
    daemon.detach(program.pid)


def test_a_process_that_was_let_go_of_stays_out(daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter) -> None:
    program = spawn(local_interpreter, "brooding")
    first = daemon.attach(program.pid, spec()).sessions[0]
    kid = program.ask_json("kid")
    assert becomes(lambda: kid in of_group(daemon, first), SETTLE_S)
    daemon.detach(kid)
    time.sleep(FOUND_S)
    assert of_group(daemon, first)[kid] == sessions_pb2.SESSION_STATE_STOPPED
    assert of_group(daemon, first)[program.pid] == sessions_pb2.SESSION_STATE_RUNNING
    daemon.detach(program.pid)
