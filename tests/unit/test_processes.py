"""The check that no test leaves a process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from processes import left_over, living_pids, stopped

if TYPE_CHECKING:
    from conftest import Spawn
    from interpreters import Interpreter

DETACHING = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    print(os.getpid(), flush=True)
    time.sleep(60)
"""


def test_a_child_that_runs_on_is_named_and_killed() -> None:
    before = living_pids()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        (description,) = left_over(before, timeout_s=0.1)
    assert f"PID {child.pid} " in description
    assert child.returncode is not None


def test_a_process_that_left_the_tree_is_named_and_killed() -> None:
    before = living_pids()
    with subprocess.Popen([sys.executable, "-c", DETACHING], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
    (description,) = left_over(before, timeout_s=0.1)
    assert f"PID {pid} " in description


def test_a_stopped_process_is_named(spawn: Spawn, local_interpreter: Interpreter) -> None:
    before = living_pids()
    program = spawn(local_interpreter, "busy")
    os.kill(program.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)
    (description,) = stopped(before)
    os.kill(program.pid, signal.SIGCONT)
    assert f"PID {program.pid} " in description
