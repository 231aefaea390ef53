"""What `execctl run` hands on: signals that come before there is a program, and how a session ended early."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from execctl import child, convert
from execctl.api.program import Outcome, Program
from execctl.commands import run
from execd_api.v1 import sessions_pb2

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_S = 20.0
WAITS = "import signal; signal.pause()"


def test_a_signal_that_comes_before_the_program_waits_for_it() -> None:
    recipient = child.Recipient()
    with child.signals_handed_on(recipient):
        os.kill(os.getpid(), signal.SIGTERM)
        with subprocess.Popen([sys.executable, "-c", WAITS]) as program:
            recipient.begin(program.pid)
            assert program.wait(TIMEOUT_S) == -signal.SIGTERM
        recipient.end()
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_program_comes_in_where_others_wait_before_it(tmp_path: Path) -> None:
    path = str(tmp_path / "in")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as first:
            first.connect(path)
            taken = threading.Thread(target=take_two, args=(listener,))
            inherited = child.Inheritance()
            threading.Timer(0.2, taken.start).start()
            inherited.connect(path, "t" * 32, 30)
            inherited.close()
            taken.join(TIMEOUT_S)
    assert not taken.is_alive()


def take_two(listener: socket.socket) -> None:
    """Accept one who says nothing, and answer the next."""
    with listener.accept()[0], listener.accept()[0] as connection:
        connection.recv(32)
        connection.send(b"\1")


class Told(Program):
    """A program that has ended, of which this was recorded."""

    def __init__(self, *sessions: sessions_pb2.Session) -> None:
        self._outcome = Outcome(tuple(map(convert.session, sessions)), "")


def told_of(capsys: pytest.CaptureFixture[str], *sessions: sessions_pb2.Session, quiet: bool) -> list[str]:
    """What is said of a program that had these."""
    client: Any = None
    run.tell(client, Told(*sessions), quiet=quiet)
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("quiet", [False, True])
def test_a_session_that_has_nothing_to_show_says_so(capsys: pytest.CaptureFixture[str], *, quiet: bool) -> None:
    state, reason = sessions_pb2.SESSION_STATE_STOPPED, "none of its code was met in 3 ms"
    empty = sessions_pb2.Session(id="s1", latest_profile="p1", state=state, reason=reason)
    empty.spec.collector = "samples"
    assert told_of(capsys, empty, quiet=quiet) == [
        "execctl: recorded s1 (samples), but none of its code was met in 3 ms: see execctl report s1"
    ]


@pytest.mark.parametrize("quiet", [False, True])
def test_a_session_that_did_not_last_says_so(capsys: pytest.CaptureFixture[str], *, quiet: bool) -> None:
    whole, failed = (
        sessions_pb2.Session(id=name, latest_profile="p1", state=state, reason=reason)
        for name, state, reason in (
            ("s1", sessions_pb2.SESSION_STATE_STOPPED, ""),
            ("s2", sessions_pb2.SESSION_STATE_FAILED, "it was silent"),
        )
    )
    for one in (whole, failed):
        one.spec.collector = "calls"
    said = told_of(capsys, whole, failed, quiet=quiet)
    of_whole = ["execctl: recorded s1 (calls): see execctl report s1"]
    assert said == [
        *([] if quiet else of_whole),
        "execctl: recorded s2 (calls), failed: it was silent: see execctl report s2",
    ]
