"""Several who attach at once, daemons that hang: one agent a process, and hooks that come off by themselves."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest
from attachments import attach, detach
from daemons import Daemon
from execd.attach.attacher import AgentLink, Attacher
from execd.attach.link import marker_name
from execd.errors import NotPermitted
from execd_api.v1 import sessions_pb2
from footprint import becomes, footprint, settled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Spawn
    from interpreters import Interpreter

VERSIONS = ("3.9", "3.12", "3.15")
RACES = 4
SOAK_RACES = 100
DEAD_MAN_S = 3
# The agent's second, and two for a busy machine.
DISARM_S = 3.0
IMPATIENT = f"""
import functools
from execd import __main__
from execd.attach import attacher
attacher.Attacher = functools.partial(attacher.Attacher, dead_man_s={DEAD_MAN_S})
__main__.main()
"""


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """One of the test's own, which may end it."""
    with Daemon() as running:
        yield running


class ImpatientDaemon(Daemon):
    """A daemon whose agents leave after a few seconds of silence."""

    program = ("-c", IMPATIENT)


def link_or_refusal(attacher: Attacher, pid: int) -> AgentLink | str:
    """What an attach came to."""
    try:
        return attach(attacher, pid)
    except NotPermitted as error:
        return error.message


def race(interpreter: Interpreter, spawn: Spawn, program_name: str, races: int) -> None:
    """Two daemons attach at once: one gets in, the other is told who did, each time."""
    program = spawn(interpreter, program_name)
    before = footprint(program.pid)
    attachers = {os.getpid(): Attacher(), os.getppid(): Attacher()}
    for pid, attacher in attachers.items():
        attacher.marker = marker_name(os.getuid(), pid)
        attacher.start()
    with ThreadPoolExecutor() as pool:
        for _ in range(races):
            attempts = {pid: pool.submit(link_or_refusal, attacher, program.pid) for pid, attacher in attachers.items()}
            ends = {pid: attempt.result() for pid, attempt in attempts.items()}
            ((winner, link),) = [(pid, end) for pid, end in ends.items() if isinstance(end, AgentLink)]
            (refusal,) = [end for end in ends.values() if isinstance(end, str)]
            assert f"the agent of another daemon, process {winner} " in refusal
            detach(link)
            link.close()
            assert settled(program.pid, before) == before
    for attacher in attachers.values():
        attacher.close()
    assert program.stderr() == ""


@pytest.mark.parametrize("program_name", ["busy", "reading"])
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_of_two_daemons_that_attach_at_once_one_is_told_of_the_other(
    interpreter: Interpreter, spawn: Spawn, program_name: str
) -> None:
    race(interpreter, spawn, program_name, RACES)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("program_name", ["busy", "reading"])
def test_of_two_daemons_that_attach_at_once_one_is_told_of_the_other_each_time(
    interpreter: Interpreter, spawn: Spawn, program_name: str
) -> None:
    race(interpreter, spawn, program_name, SOAK_RACES)


def test_two_clients_that_attach_at_once_share_one_agent_a_process(
    local_interpreter: Interpreter, spawn: Spawn, daemon: Daemon
) -> None:
    one, other = spawn(local_interpreter, "busy"), spawn(local_interpreter, "reading")
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(daemon.attach, [one.pid, one.pid, other.pid]))
    assert sorted(answer.joined for answer in answers[:2]) == [False, True]
    assert not answers[2].joined
    assert [marks(program.pid) for program in (one, other)] == [1, 1]
    for program in (one, other):
        daemon.detach(program.pid)
        assert becomes(lambda program=program: marks(program.pid) == 0, DISARM_S)


def marks(pid: int) -> int:
    """How many agents a process has."""
    return sum("/memfd:execd:" in descriptor for descriptor in footprint(pid).descriptors)


def test_a_second_daemon_is_refused_until_the_first_is_gone(
    local_interpreter: Interpreter, spawn: Spawn, daemon: Daemon
) -> None:
    program = spawn(local_interpreter, "busy")
    before = footprint(program.pid)
    with Daemon() as second:
        daemon.record_calls(program.pid)
        with pytest.raises(grpc.RpcError, match=f"agent of another daemon, process {daemon.process.pid} "):
            second.attach(program.pid)
        daemon.kill()
        session = second.record_calls(program.pid)
        second.detach(program.pid)
        assert second.session(session.id).state == sessions_pb2.SESSION_STATE_STOPPED
    assert settled(program.pid, before) == before
    assert program.stderr() == ""


def hang(interpreter: Interpreter, spawn: Spawn) -> None:
    """A daemon is stopped while it records, and goes on later."""
    program = spawn(interpreter, "busy")
    before = footprint(program.pid)
    with ImpatientDaemon() as daemon:
        session = daemon.record_calls(program.pid)
        stored = daemon.checkpoint(session.id)
        os.kill(daemon.process.pid, signal.SIGSTOP)
        hangs_since = time.monotonic()
        assert becomes(lambda: footprint(program.pid) == before, DEAD_MAN_S + DISARM_S)
        # It was silent for up to a second when it was stopped.
        assert time.monotonic() - hangs_since > DEAD_MAN_S - 2
        os.kill(daemon.process.pid, signal.SIGCONT)
        ended = daemon.ended(session.id)
        assert ended.state == sessions_pb2.SESSION_STATE_FAILED
        assert f"the agent left process {program.pid}, which goes on" in ended.reason
        assert daemon.report(session.id)["profile"]["ended_at"] >= stored.ended_at
        assert not daemon.attach(program.pid).joined
        daemon.detach(program.pid)
    assert program.stderr() == ""


@pytest.mark.parametrize("interpreter", ["3.12"], indirect=True)
def test_a_daemon_that_hangs_loses_its_agents_and_says_so_when_it_goes_on(
    interpreter: Interpreter, spawn: Spawn
) -> None:
    hang(interpreter, spawn)


@pytest.mark.soak
def test_a_daemon_that_hangs_loses_its_agents_on_every_version(interpreter: Interpreter, spawn: Spawn) -> None:
    hang(interpreter, spawn)
