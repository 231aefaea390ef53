"""What forbids an attach, each found on a real process, before anything is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from execd.attach import process, refusals
from execd.attach.link import find_markers, marker_name
from execd.attach.refusals import refuse
from execd.errors import NotPermitted, NotSupported, TargetGone

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = marker_name(os.getuid(), os.getpid())
NOBODY = 65534
# Above the largest PID that Linux gives (2**22).
NO_PID = 1 << 23

HOLDING = """
import os, sys
for name in sys.argv[1:]:
    os.memfd_create(name)
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.read()
"""


@contextmanager
def running(*arguments: str, **more: object) -> Iterator[int]:
    """A Python process that holds memfds of the given names."""
    command = [sys.executable, "-c", HOLDING, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **more) as program:  # type: ignore[call-overload]
        assert program.stdout.readline() == b"ready\n"
        try:
            yield program.pid
        finally:
            program.kill()


def look(pid: int) -> None:
    refuse(pid, OURS, process.mappings(pid))


def test_an_ordinary_process_is_not_refused() -> None:
    with running() as pid:
        look(pid)


def test_a_process_that_is_not_there_is_a_target_gone() -> None:
    with pytest.raises(TargetGone, match="has ended"):
        refuse(NO_PID, OURS, [])


def test_a_zombie_is_a_target_gone() -> None:
    with subprocess.Popen(["true"]) as program:
        os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(TargetGone, match="zombie"):
            refuse(program.pid, OURS, [])


def test_a_stopped_process_is_refused_with_what_lets_it_run() -> None:
    with running() as pid:
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
        with pytest.raises(NotPermitted, match="stopped by a signal") as caught:
            look(pid)
        assert caught.value.remedy == f"let it run: kill -CONT {pid}"
        assert process.status(pid).state == "T"


def test_a_process_that_is_traced_already_is_refused_with_its_tracer(monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as pid:
        facts = process.status(pid)
        traced = process.Status(facts.state, facts.uid, facts.effective_uid, 77, 0, shadow_stack=False)
        monkeypatch.setattr(refusals.process, "status", lambda _pid: traced)
        with pytest.raises(NotPermitted, match="traced by process 77") as caught:
            look(pid)
    assert caught.value.facts["tracer_pid"] == "77"


def test_another_users_process_is_refused_with_both_users(monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as pid:
        monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
        with pytest.raises(NotPermitted, match=f"this daemon runs as user {NOBODY}"):
            look(pid)


def test_a_shadow_stack_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as pid:
        facts = process.status(pid)
        shadowed = process.Status(facts.state, facts.uid, facts.effective_uid, 0, 0, shadow_stack=True)
        monkeypatch.setattr(refusals.process, "status", lambda _pid: shadowed)
        with pytest.raises(NotSupported, match="shadow stack"):
            look(pid)


@pytest.mark.parametrize("value", ["1", "0", "x"])
def test_remote_debugging_that_was_switched_off_is_refused(value: str) -> None:
    environment = {**os.environ, "PYTHON_DISABLE_REMOTE_DEBUG": value}
    with running(env=environment) as pid, pytest.raises(NotPermitted, match="PYTHON_DISABLE_REMOTE_DEBUG"):
        look(pid)


def test_musl_is_refused() -> None:
    loader = process.Mapping(0x1000, 0x2000, "r-xp", 0, "00:01", 5, "/lib/ld-musl-x86_64.so.1")
    with running() as pid, pytest.raises(NotSupported, match="musl"):
        refuse(pid, OURS, [loader])


def test_the_agent_of_another_living_daemon_is_refused_and_named() -> None:
    theirs = marker_name(NOBODY, os.getppid())
    with running(theirs) as pid, pytest.raises(NotPermitted, match=f"process {os.getppid()} of user {NOBODY}"):
        look(pid)


def test_our_own_agent_and_that_of_a_daemon_that_is_gone_are_no_hindrance() -> None:
    with running(OURS, marker_name(NOBODY, NO_PID)) as pid:
        assert set(find_markers(pid).values()) == {OURS, marker_name(NOBODY, NO_PID)}
        look(pid)


SIMILAR = (
    "execd:",
    "execd:x",
    "execd:0",
    "execd:0:",
    "execd:0:1:2",
    "execd:0:self",
    "execd:\n0:1",
    "execd:-1:1",
    "e:0:1",
)


@pytest.mark.parametrize("name", SIMILAR)
def test_a_memfd_of_a_similar_name_is_no_marker(name: str) -> None:
    with running(name) as pid:
        assert find_markers(pid) == {}
        look(pid)
