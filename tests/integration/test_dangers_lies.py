"""Agents that lie to a daemon: it refuses, in little memory, says what they did, and serves others meanwhile."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import grpc
import pytest
from daemons import CALL_TIMEOUT_S, Daemon
from execd_api.v1 import sessions_pb2
from footprint import resident_kib, status_fields
from lies import LIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from execd_api.v1.sessions_pb2 import Session

MEMORY_KIB = 64 << 10
SERVED_S = 3.0
AT_A_SNAPSHOT = [name for name, lie in LIES.items() if lie.operation == "snapshot"]
AT_THE_ATTACH = [name for name, lie in LIES.items() if lie.operation in ("hello", "start")]
LATER = [name for name in LIES if name not in AT_A_SNAPSHOT + AT_THE_ATTACH]
STOPPED, FAILED = sessions_pb2.SESSION_STATE_STOPPED, sessions_pb2.SESSION_STATE_FAILED
LIAR = Path(__file__).parent.parent / "lied_to_daemon.py"


class LiedTo(Daemon):
    """A daemon whose agents tell lies, as the last word of their targets' command lines says."""

    program: ClassVar[tuple[str, ...]] = (str(LIAR),)

    def stop(self, session: str) -> Session:
        """Stops a session."""
        request = sessions_pb2.StopRequest(session=session)
        return self._sessions.Stop(request, timeout=CALL_TIMEOUT_S).sessions[0]

    def snapshot(self, session: str) -> float:
        """Takes a snapshot; how long that took, seconds."""
        began = time.monotonic()
        self._sessions.Snapshot(sessions_pb2.SnapshotRequest(session=session), timeout=CALL_TIMEOUT_S)
        return time.monotonic() - began

    def peak_kib(self, act: Callable[[], object]) -> int:
        """How much memory the daemon took at most, beyond what it had, while something was done."""
        before = resident_kib(self.process.pid)
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        act()
        return int(status_fields(f"/proc/{self.process.pid}/status")["VmHWM"].split()[0]) - before


@contextmanager
def target(word: str) -> Iterator[int]:
    """A process that does nothing and has a word at the end of its command line: from when it says so, not before."""
    command = ["sh", "-c", "echo ready; read line", word]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == b"ready\n"
            yield running.pid
        finally:
            running.kill()


@pytest.fixture(scope="module")
def lied_to() -> Iterator[tuple[LiedTo, str]]:
    """A daemon, and a session on a target whose agent is honest."""
    with target("honest") as pid, LiedTo() as daemon:
        yield daemon, daemon.record_calls(pid).id


def served_until(daemon: LiedTo, honest: str, done: Callable[[], bool]) -> None:
    """Takes snapshots of the honest agent, one at least; each comes in time."""
    assert daemon.snapshot(honest) < SERVED_S
    while not done():
        assert daemon.snapshot(honest) < SERVED_S


@pytest.mark.parametrize("name", LATER)
def test_a_lie_is_refused_in_little_memory_while_others_are_served(lied_to: tuple[LiedTo, str], name: str) -> None:
    daemon, honest = lied_to
    lie = LIES[name]

    def be_lied_to() -> None:
        with ThreadPoolExecutor(1) as pool:
            end = daemon.ended if lie.operation == "ping" and lie.why else daemon.stop
            ending = pool.submit(end, session)
            served_until(daemon, honest, ending.done)
            ended.append(ending.result())

    ended: list[Session] = []
    with target(name) as pid:
        session = daemon.record_calls(pid).id
        if lie.operation == "ping" and not lie.why:
            await_beat(daemon, pid)
        peak = daemon.peak_kib(be_lied_to)
    assert ended[0].state == (FAILED if lie.why else STOPPED), ended[0].reason
    assert lie.why in ended[0].reason
    assert len(ended[0].reason) < 1000
    assert peak < MEMORY_KIB


def await_beat(daemon: LiedTo, pid: int) -> None:
    """Attaches again: an agent that is there already is asked first whether it lives."""
    assert daemon.attach(pid).joined
    assert daemon.process.poll() is None


@pytest.mark.parametrize("name", AT_A_SNAPSHOT)
def test_a_session_that_a_lie_in_a_snapshot_has_ended_says_which(lied_to: tuple[LiedTo, str], name: str) -> None:
    daemon, honest = lied_to
    with target(name) as pid:
        session = daemon.record_calls(pid).id
        with pytest.raises(grpc.RpcError, match="larger than 24 MiB"):
            daemon.snapshot(session)
        ended = daemon.ended(session)
    assert ended.state == FAILED
    assert LIES[name].why in ended.reason
    assert daemon.snapshot(honest) < SERVED_S


@pytest.mark.parametrize("name", AT_THE_ATTACH)
def test_a_lie_at_the_attach_is_its_error_and_leaves_nothing(lied_to: tuple[LiedTo, str], name: str) -> None:
    daemon, honest = lied_to
    errors: list[str] = []

    def attach() -> None:
        with pytest.raises(grpc.RpcError) as caught:
            daemon.record_calls(pid)
        errors.append(caught.value.details())

    with target(name) as pid:
        peak = daemon.peak_kib(attach)
        assert LIES[name].why in errors[0]
        assert len(errors[0]) < 1000
        # Nothing is attached to: a target that lives has no agent of ours.
        assert not daemon.detach(pid).was_attached
    assert peak < MEMORY_KIB
    assert daemon.snapshot(honest) < SERVED_S
