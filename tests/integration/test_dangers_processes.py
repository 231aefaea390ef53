"""Processes that come, go and are replaced: workers of a master, PIDs that mean another process, dead helpers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attachments import ATTACH_TIMEOUT_S, attached, detach
from execd.attach import process
from execd.attach.attacher import Attacher
from execd.errors import TargetGone
from execd_api.v1 import sessions_pb2
from footprint import footprint

if TYPE_CHECKING:
    from conftest import Spawn
    from daemons import Daemon
    from interpreters import Interpreter

VERSIONS = ("3.9", "3.12", "3.15")
RELOADS = 2
SOAK_RELOADS = 50
REUSING_PIDS = Path(__file__).parent.parent / "reusing_pids.py"
REUSE_TIMEOUT_S = 60.0
HELPER_KILLS = 5


def reload_while_recording(interpreter: Interpreter, spawn: Spawn, daemon: Daemon, reloads: int) -> None:
    """Records master and worker of a preforking server, while it replaces its workers on SIGHUP."""
    master = spawn(interpreter, "preforking", "error")
    workers = json.loads(master.read_line())
    recorded = daemon.record_calls(master.pid)
    for _ in range(reloads):
        ending = daemon.record_calls(workers[0])
        os.kill(master.pid, signal.SIGHUP)
        workers = json.loads(master.read_line())
        ended = daemon.ended(ending.id)
        assert ended.state == sessions_pb2.SESSION_STATE_TARGET_GONE, ended.reason
        assert daemon.session(recorded.id).state == sessions_pb2.SESSION_STATE_RUNNING
    daemon.detach(master.pid)
    os.kill(master.pid, signal.SIGHUP)
    assert len(json.loads(master.read_line())) == len(workers)
    assert (master.ask_json("unclean"), master.stderr()) == (0, "")
    assert daemon.session(recorded.id).state == sessions_pb2.SESSION_STATE_STOPPED
    assert master.stderr() == ""
    master.close_pipes()
    assert master.wait() == 0


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_master_that_is_recorded_reloads_its_workers(interpreter: Interpreter, spawn: Spawn, daemon: Daemon) -> None:
    reload_while_recording(interpreter, spawn, daemon, RELOADS)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_master_that_is_recorded_reloads_its_workers_many_times(
    interpreter: Interpreter, spawn: Spawn, daemon: Daemon
) -> None:
    reload_while_recording(interpreter, spawn, daemon, SOAK_RELOADS)


@pytest.mark.skipif(os.geteuid() != 0, reason="a PID namespace whose next PID is chosen takes root")
def test_a_pid_that_has_become_another_process_is_never_taken_for_the_first(local_interpreter: Interpreter) -> None:
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, str(REUSING_PIDS)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [*command, *local_interpreter.argv],
        env=environment,
        capture_output=True,
        text=True,
        timeout=REUSE_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert "its PID belongs to another one now" in answer["refusal"]
    assert answer["state"] == sessions_pb2.SESSION_STATE_TARGET_GONE
    assert answer["joined"] is False


def test_a_process_that_started_at_another_time_is_not_touched(
    local_interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(local_interpreter, "reading")
    before, key = footprint(program.pid), process.target_key(program.pid)
    for difference in (-1, 1):
        another = replace(key, start_ticks=key.start_ticks + difference)
        with pytest.raises(TargetGone, match="its PID belongs to another one now"):
            attacher.attach(another, REUSE_TIMEOUT_S, lambda: False)
        with pytest.raises(TargetGone):
            attacher.examine(another)
    assert footprint(program.pid) == before


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_an_order_that_its_helper_dies_without_having_read_is_given_to_another_one(
    interpreter: Interpreter, spawn: Spawn
) -> None:
    program, attacher, told = spawn(interpreter, "reading"), Attacher(), threading.Event()
    attacher.start()
    (dying,) = attacher.helper_pids
    os.kill(dying, signal.SIGSTOP)

    def cancelled() -> bool:
        told.set()
        return False

    with ThreadPoolExecutor() as pool:
        attaching = pool.submit(attacher.attach, process.target_key(program.pid), ATTACH_TIMEOUT_S, cancelled)
        # It is asked for only once the order has been sent.
        assert told.wait(ATTACH_TIMEOUT_S)
        os.kill(dying, signal.SIGKILL)
        link = attaching.result()
    detach(link)
    link.close()
    assert dying not in attacher.helper_pids
    attacher.close()


def test_a_helper_that_was_killed_this_instant_fails_no_attach(local_interpreter: Interpreter, spawn: Spawn) -> None:
    program, attacher = spawn(local_interpreter, "reading"), Attacher()
    attacher.start()
    for _ in range(HELPER_KILLS):
        os.kill(attacher.helper_pids[0], signal.SIGKILL)
        with attached(attacher, program.pid) as link:
            detach(link)
    attacher.close()
