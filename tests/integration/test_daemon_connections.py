"""Clients by the thousand that say nothing: others are served, and what the daemon starts is as it was without them."""

from __future__ import annotations

import os
import resource
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import http2_client as http2
import psutil
import pytest
from activities import commands_read
from attachments import attached, detach
from daemons import Daemon
from execd import descriptors
from execd.attach.attacher import Attacher
from execd.descriptors import Allowance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Spawn
    from interpreters import Interpreter

USUAL = 1024
CONNECTIONS = 2000
# Of the tests' own process, beside the connections.
OWN = 200
WINDOW = 65_535
ANSWER_S = 3.0
SLACK = 3
_, HARD = resource.getrlimit(resource.RLIMIT_NOFILE)


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """One of the test's own, which may end it."""
    with Daemon() as running:
        yield running


@contextmanager
def soft_limit(count: int) -> Iterator[None]:
    """Lets this process, and what it starts, open so many files."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


@pytest.fixture
def usual_daemon() -> Iterator[Daemon]:
    """A daemon with the limit that most systems give."""
    with soft_limit(USUAL), Daemon() as running:
        yield running


@contextmanager
def idle_connections(daemon: Daemon, count: int) -> Iterator[None]:
    """Connects so often as a client that then says nothing, until the end."""
    path = daemon.data_dir.parent / "run" / "s"
    with soft_limit(HARD), ExitStack() as opened:
        for _ in range(count):
            connection = opened.enter_context(http2.connected(path))
            # Else it is closed after 5 s.
            connection.sendall(http2.PREFACE + http2.settings(WINDOW))
        yield


def files_limit(pid: int) -> int:
    return psutil.Process(pid).rlimit(psutil.RLIMIT_NOFILE)[0]


@pytest.mark.skipif(HARD < CONNECTIONS + OWN, reason="the hard limit of open files is too low")
def test_thousands_of_idle_connections_keep_nobody_out(
    local_interpreter: Interpreter, spawn: Spawn, usual_daemon: Daemon
) -> None:
    program = spawn(local_interpreter, "reading")
    with idle_connections(usual_daemon, CONNECTIONS):
        began = time.monotonic()
        usual_daemon.execctl("sessions")
        assert time.monotonic() - began < ANSWER_S * SLACK
        # From here on its descriptors have numbers that select() does not take.
        assert psutil.Process(usual_daemon.process.pid).num_fds() > CONNECTIONS
        usual_daemon.record_calls(program.pid)
        assert commands_read(program) == 1
        usual_daemon.detach(program.pid)
        session = usual_daemon.record_calls(program.pid)
        program.kill()
        assert usual_daemon.ended(session.id).reason


@pytest.mark.skipif(HARD < USUAL + OWN, reason="the hard limit of open files is too low")
def test_a_helper_is_heard_on_a_descriptor_of_any_number(local_interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(local_interpreter, "reading")
    with soft_limit(HARD), ExitStack() as opened:
        for _ in range(USUAL):
            opened.enter_context(Path(os.devnull).open())
        attacher = Attacher()
        attacher.start()
        opened.callback(attacher.close)
        with attached(attacher, program.pid) as link:
            assert link.pidfd > USUAL
            detach(link)
    assert commands_read(program) == 1


def test_a_limit_that_is_higher_stays() -> None:
    with soft_limit(USUAL - 1):
        assert descriptors.raise_limit(most=USUAL) == Allowance(USUAL - 1, USUAL)
        assert descriptors.raise_limit(most=USUAL // 2) == Allowance(USUAL, USUAL)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (USUAL, HARD)


def test_what_the_daemon_starts_gets_the_limit_that_it_was_started_with(usual_daemon: Daemon) -> None:
    pid = usual_daemon.process.pid
    assert files_limit(pid) == max(USUAL, min(HARD, descriptors.MOST))
    (helper,) = psutil.Process(pid).children()
    assert files_limit(helper.pid) == USUAL
