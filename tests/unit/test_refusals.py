"""What forbids an attach, each found on a real process, before anything is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from execd.attach import access, process, refusals, seccomp
from execd.attach.checks import CONDITIONS, examine, first_failure, refuse
from execd.attach.interpreter import Finder
from execd.attach.link import find_markers, marker_name
from execd.attach.subject import Subject
from execd.errors import NotPermitted, NotSupported, TargetGone
from execd.model.target import Outcome
from processes import kernel_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


def subject(pid: int) -> Subject:
    """A process that nothing of is stopped, as `execctl ps` looks at it."""
    return Subject(pid, OURS, Finder())


def look(pid: int) -> None:
    refuse(subject(pid))


def seen_as(monkeypatch: pytest.MonkeyPatch, pid: int, **changes: Any) -> None:
    """Makes a process look otherwise than it is."""
    facts = replace(process.status(pid), **changes)
    monkeypatch.setattr(process, "status", lambda _pid: facts)


def test_an_ordinary_process_is_not_refused() -> None:
    with running() as pid:
        look(pid)


def test_a_process_that_is_not_there_is_a_target_gone() -> None:
    with pytest.raises(TargetGone, match="has ended"):
        look(NO_PID)


def test_a_zombie_is_a_target_gone() -> None:
    with subprocess.Popen(["true"]) as program:
        os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(TargetGone, match="zombie"):
            look(program.pid)


def test_a_thread_of_the_kernel_is_told_as_one_and_not_as_ended() -> None:
    pid = kernel_thread()
    for refused in (
        lambda: refuse(subject(pid)),
        lambda: Finder().find(pid, []),
        lambda: access.require_access(pid, access.yama_scope()),
    ):
        with pytest.raises(NotSupported, match=f"process {pid} is not CPython: it is a thread of the kernel") as caught:
            refused()
        assert caught.value.remedy == "list those that are: execctl ps"


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
        seen_as(monkeypatch, pid, tracer_pid=os.getppid())
        with pytest.raises(NotPermitted, match=f"traced by process {os.getppid()} ") as caught:
            look(pid)
    assert caught.value.facts["tracer_pid"] == str(os.getppid())


def test_a_tracer_that_is_not_to_be_seen_is_told_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as pid:
        seen_as(monkeypatch, pid, tracer_pid=NO_PID)
        with pytest.raises(NotPermitted, match=f"traced by process {NO_PID}$"):
            look(pid)


def test_another_users_process_is_refused_with_both_users(monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as pid:
        monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
        with pytest.raises(NotPermitted, match=r"belongs to user .*, and this daemon runs as user nobody") as caught:
            look(pid)
    assert caught.value.remedy.startswith("run execctl as that user, or as root: sudo ")


def test_a_shadow_stack_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as pid:
        seen_as(monkeypatch, pid, shadow_stack=True)
        with pytest.raises(NotSupported, match="shadow stack"):
            look(pid)


@pytest.mark.parametrize("value", ["1", "0", "x"])
def test_remote_debugging_that_was_switched_off_is_refused(value: str) -> None:
    environment = {**os.environ, "PYTHON_DISABLE_REMOTE_DEBUG": value}
    with running(env=environment) as pid, pytest.raises(NotPermitted, match="PYTHON_DISABLE_REMOTE_DEBUG"):
        look(pid)


def test_musl_is_refused() -> None:
    loader = process.Mapping(0x1000, 0x2000, "r-xp", 0, "00:01", 5, "/lib/ld-musl-x86_64.so.1")
    with running() as pid:
        one = subject(pid)
        one.mappings.append(loader)
        with pytest.raises(NotSupported, match="musl"):
            refuse(one)


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


@pytest.mark.parametrize(
    ("scope", "rule", "remedy"),
    [
        (1, "ptrace_scope is 1: only ancestors", "PR_SET_PTRACER_ANY"),
        (2, "ptrace_scope is 2: only CAP_SYS_PTRACE", "kernel.yama.ptrace_scope=0"),
        (3, "ptrace_scope is 3: nobody", "at the next boot"),
        (0, "not dumpable", "CAP_SYS_PTRACE"),
    ],
)
def test_what_the_kernel_closes_is_refused_with_the_rule_in_force(
    monkeypatch: pytest.MonkeyPatch, scope: int, rule: str, remedy: str
) -> None:
    def closed(*_arguments: object) -> int:
        raise PermissionError(1, "no")

    monkeypatch.setattr(os, "open", closed)
    with pytest.raises(NotPermitted, match=rule) as caught:
        access.require_access(4711, scope)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(("content", "scope"), [("0\n", 0), ("1\n", 1), ("3\n", 3), ("odd", 0), (None, 0)])
def test_the_rule_of_yama_is_read(tmp_path: Path, content: str | None, scope: int) -> None:
    path = tmp_path / "ptrace_scope"
    if content is not None:
        path.write_text(content)
    assert access.yama_scope(path) == scope


@pytest.mark.parametrize("head", [b"\x7fELF\x01" + bytes(13) + b"\x03\0", b"\x7fELF\x01" + bytes(13) + b"\x3e\0"])
def test_a_program_that_is_not_64_bit_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, head: bytes) -> None:
    program = tmp_path / "program"
    program.write_bytes(head)
    monkeypatch.setattr(refusals.rootfs, "open_executable", lambda _pid: os.open(program, os.O_RDONLY))
    with running() as pid, pytest.raises(NotSupported, match="64-bit"):
        look(pid)


def test_an_old_kernel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals.platform, "release", lambda: "5.4.0-150-generic")
    with pytest.raises(NotSupported, match=r"Linux 5\.6, this is 5\.4"):
        look(os.getpid())


def test_filters_that_cannot_be_read_are_refused_but_where_they_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "may_read", lambda: False)
    with running() as pid:
        seen_as(monkeypatch, pid, seccomp=seccomp.FILTERED)
        with pytest.raises(NotPermitted, match="may not read") as caught:
            look(pid)
        assert "--allow-seccomp" in caught.value.remedy
        refuse(Subject(pid, OURS, Finder(), allow_seccomp=True))


def test_strict_seccomp_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as pid:
        seen_as(monkeypatch, pid, seccomp=seccomp.STRICT)
        with pytest.raises(NotSupported, match="strict seccomp"):
            look(pid)


def test_every_check_of_an_ordinary_process_is_told_and_none_fails() -> None:
    with running() as pid:
        checks = examine(subject(pid))
    assert [check.name for check in checks] == [condition.name for condition in CONDITIONS]
    assert first_failure(checks) is None
    assert all(check.detail for check in checks)


def test_a_check_that_fails_is_told_as_an_attach_would_tell_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as pid:
        seen_as(monkeypatch, pid, shadow_stack=True, tracer_pid=77)
        checks = examine(subject(pid))
        with pytest.raises(NotPermitted) as caught:
            look(pid)
    failed = [check for check in checks if check.outcome is Outcome.FAILED]
    assert [check.name for check in failed] == ["not traced", "shadow stack"]
    assert (failed[0].detail, failed[0].remedy) == (caught.value.message, caught.value.remedy)
    assert [check.exit_code for check in failed] == [5, 6]


def test_what_cannot_be_looked_at_is_not_known() -> None:
    with subprocess.Popen(["true"]) as program:
        os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
        first, gone, *rest = examine(subject(program.pid))
    assert (first.outcome, gone.outcome, gone.exit_code) == (Outcome.PASSED, Outcome.FAILED, 4)
    assert {check.outcome for check in rest} == {Outcome.UNKNOWN}
