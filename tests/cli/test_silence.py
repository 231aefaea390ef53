"""A daemon that is there and does not answer: told soon, waited for no longer than it makes sense, left at Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from cli import fake_daemon
from click.testing import CliRunner
from execctl import rpc
from execctl.cli import cli
from execctl.connection import listens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli.conftest import Start

COMMANDS = (
    ("ps",),
    ("sessions",),
    ("report",),
    ("attach", "4711", "--profile"),
    ("detach", "4711"),
    ("doctor", "4711"),
)
INTERRUPTED, NO_DAEMON = 130, 3
# It takes an instant; the rest is for a machine that has other things to do.
AT_ONCE_S = 3.0
TIMEOUT_S = 20.0
SOON_S = 2.5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "d.sock"


@pytest.fixture
def stopped(path: Path, process_environment: dict[str, str]) -> Iterator[int]:
    """A daemon that serves on a socket, and is stopped."""
    command = [sys.executable, fake_daemon.__file__, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=process_environment) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == b"serving\n"
        daemon.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, daemon.pid, os.WSTOPPED | os.WNOWAIT)
        yield daemon.pid
        daemon.kill()


def read_note(process: subprocess.Popen[str]) -> str:
    """The first line of its stderr, which comes when it does not wait in silence any more."""
    assert process.stderr is not None
    return process.stderr.readline()


def test_every_command_tells_of_a_daemon_that_is_stopped_and_ends_at_ctrl_c(
    stopped: int, start: Start, path: Path
) -> None:
    begun = [start("--socket", str(path), *words) for words in COMMANDS]
    expected = (
        f"the daemon (PID {stopped}) does not answer: it is stopped; `kill -CONT {stopped}` lets it go on, "
        "`execd stop` ends it, Ctrl-C gives up\n"
    )
    for process in begun:
        assert read_note(process) == expected
        process.send_signal(signal.SIGINT)
        pressed = time.monotonic()
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
        assert time.monotonic() - pressed < AT_ONCE_S
        assert (process.returncode, stdout, stderr) == (INTERRUPTED, "", "\nexecctl: interrupted\n")


def test_a_daemon_that_goes_on_answers_what_it_was_asked_meanwhile(stopped: int, start: Start, path: Path) -> None:
    begun = [start("--socket", str(path), *words) for words in (("ps",), ("attach", "4711", "--profile"))]
    for process in begun:
        assert "it is stopped" in read_note(process)
    os.kill(stopped, signal.SIGCONT)
    for process, told in zip(begun, ("4711", "s1"), strict=True):
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0
        assert told in stdout
        assert "does not answer" not in stderr


def test_a_daemon_that_is_killed_while_it_is_stopped_is_gone_at_once(stopped: int, start: Start, path: Path) -> None:
    process = start("--socket", str(path), "report")
    assert "it is stopped" in read_note(process)
    os.kill(stopped, signal.SIGKILL)
    killed = time.monotonic()
    _, stderr = process.communicate(timeout=TIMEOUT_S)
    assert time.monotonic() - killed < AT_ONCE_S
    assert process.returncode == NO_DAEMON
    assert stderr.startswith(f"execctl: the daemon on {path} is gone: ")


def test_a_list_is_given_up_with_the_exit_code_of_no_daemon(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """This process listens and never accepts: it hangs, and is not stopped."""
    monkeypatch.setattr(rpc, "LOOK_TIMEOUT_S", SOON_S)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        began = time.monotonic()
        result = CliRunner().invoke(cli, ["--no-start", "--socket", str(path), "sessions"])
    assert result.exit_code == NO_DAEMON
    assert SOON_S <= time.monotonic() - began < TIMEOUT_S
    assert result.stderr.splitlines() == [
        f"the daemon (PID {os.getpid()}) does not answer: all its threads are busy with other commands, or it hangs; "
        "`execd stop` ends it, Ctrl-C gives up",
        f"execctl: the daemon on {path} did not answer in time",
        "`execd status` tells whether it is well",
    ]


def test_a_daemon_whose_queue_of_connections_is_full_counts_as_one_that_listens(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as waiting:
        silent.bind(str(path))
        silent.listen(0)
        waiting.connect(str(path))
        with socket.socket(socket.AF_UNIX) as further:
            further.setblocking(False)
            with pytest.raises(BlockingIOError):
                further.connect(str(path))
        assert listens(str(path))


@pytest.fixture
def crowded(path: Path) -> Iterator[int]:
    """A process that holds a daemon's lock and listens, is stopped, and has its queue of connections full."""
    text = (
        "import fcntl, socket, sys, signal\n"
        "lock = open(sys.argv[1] + '.lock', 'w'); fcntl.lockf(lock, fcntl.LOCK_EX)\n"
        "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(0)\n"
        "print('listens', flush=True); signal.pause()"
    )
    command = [sys.executable, "-c", text, str(path)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as daemon,
        socket.socket(socket.AF_UNIX) as waiting,
    ):
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == b"listens\n"
        waiting.connect(str(path))
        yield daemon.pid
        daemon.kill()


def test_a_stopped_daemon_whose_queue_is_full_is_said_to_be_stopped(crowded: int, path: Path) -> None:
    os.kill(crowded, signal.SIGSTOP)
    os.waitid(os.P_PID, crowded, os.WSTOPPED | os.WNOWAIT)
    result = CliRunner().invoke(cli, ["--no-start", "--socket", str(path), "sessions"])
    assert result.exit_code == NO_DAEMON
    assert result.stderr.splitlines()[-2:] == [
        f"execctl: the daemon (PID {crowded}) is stopped, and so many commands wait for it that no more can",
        f"`kill -CONT {crowded}` lets it go on, `execd stop` ends it",
    ]


def test_a_daemon_whose_queue_is_full_is_not_said_to_be_gone(crowded: int, path: Path) -> None:
    result = CliRunner().invoke(cli, ["--no-start", "--socket", str(path), "sessions"])
    assert result.exit_code == NO_DAEMON
    assert f"execctl: the daemon (PID {crowded}) accepts no connections" in result.stderr
