"""Runs in a PID namespace of its own, where it decides which PID comes next; prints what attaches came to, as JSON.

Its argument is an interpreter's executable. Each program after the first one has the PID of the one before.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from attachments import attach, detach
from daemons import Daemon
from execd.attach import process
from execd.attach.attacher import Attacher
from execd.errors import TargetGone

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
PROGRAM = Path(__file__).parent / "targets" / "busy.py"


def start(executable: str) -> subprocess.Popen[bytes]:
    """Starts a program and waits until it is ready."""
    program = subprocess.Popen(
        [executable, "-I", "-B", str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert program.stdout is not None
    assert program.stdout.readline().startswith(b"ready")
    return program


def end(program: subprocess.Popen[bytes]) -> None:
    """Ends a program; its PID is free then."""
    program.kill()
    program.communicate()


def replaced(program: subprocess.Popen[bytes], executable: str) -> subprocess.Popen[bytes]:
    """Ends a program and starts another one under its PID."""
    end(program)
    LAST_PID.write_text(str(program.pid - 1))
    another = start(executable)
    assert another.pid == program.pid, "the namespace gave another PID"
    return another


def between_look_and_attach(executable: str) -> dict[str, object]:
    """A process that was chosen from a list has been replaced when it is attached to."""
    attacher, first = Attacher(), start(executable)
    attacher.start()
    key = process.target_key(first.pid)
    second = replaced(first, executable)
    try:
        attacher.attach(key, 10.0, lambda: False).close()
        refusal = ""
    except TargetGone as error:
        refusal = error.message
    link = attach(attacher, second.pid)
    detach(link)
    link.close()
    end(second)
    attacher.close()
    return {"refusal": refusal}


def while_attached(executable: str) -> dict[str, object]:
    """A process that is recorded has been replaced."""
    first = start(executable)
    with Daemon() as daemon:
        session = daemon.record_calls(first.pid)
        second = replaced(first, executable)
        state = daemon.ended(session.id).state
        again = daemon.attach(second.pid)
        daemon.detach(second.pid)
    end(second)
    return {"state": state, "joined": again.joined}


if __name__ == "__main__":
    print(json.dumps({**between_look_and_attach(sys.argv[1]), **while_attached(sys.argv[1])}))  # noqa: T201 -- its answer
