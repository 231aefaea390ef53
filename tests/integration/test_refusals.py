"""What is refused: by name, with what to do, and without a trace in the process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from activities import commands_read
from attachments import attach, attached, await_tidying, detach
from execd.attach import attachment, process, scan
from execd.attach.attacher import Attacher
from execd.attach.channel import Channel
from execd.attach.injection import Injection
from execd.attach.interpreter import Finder
from execd.attach.link import marker_name
from execd.attach.ptrace import Ptrace
from execd.attach.stopped import StopClock, Stopper
from execd.attach.text import read_agent
from execd.errors import ExecdError, NotPermitted, NotSupported, TargetGone
from footprint import becomes, footprint, settled, system_call
from interpreters import Interpreter, local_folders

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Spawn

NOBODY = 65534
# nanosleep, clock_nanosleep.
SLEEPING_CALLS = {"35", "230"}
STARTS_S = 5.0


def require_refused(attacher: Attacher, pid: int, kind: type[ExecdError], message: str, remedy: str = "") -> None:
    """Fails where an attach is not refused as told, or changes anything."""
    before = footprint(pid)
    with pytest.raises(kind, match=message) as caught:
        attach(attacher, pid)
    assert remedy in caught.value.remedy
    assert footprint(pid) == before


def oldest_unsupported(version: str) -> str:
    """The path of an interpreter that is older than what is supported; skips where there is none."""
    found = [path for folder in local_folders(os.environ) for path in Path(folder).glob(f"python{version}")]
    # A shim of pyenv is a script; what counts is an ELF file.
    executables = [path for path in found if path.resolve().read_bytes()[:4] == b"\x7fELF"]
    if not executables:
        pytest.skip(f"no CPython {version} on this machine")
    return str(executables[0].resolve())


def test_a_process_that_has_ended_is_gone(attacher: Attacher) -> None:
    ended = subprocess.Popen(["sleep", "60"])
    key = process.target_key(ended.pid)
    ended.kill()
    ended.wait()
    with pytest.raises(TargetGone, match=f"process {ended.pid} has ended"):
        attacher.attach(key, 1.0, lambda: False)


def test_a_process_with_the_pid_of_one_that_has_ended_is_not_taken_for_it(
    local_interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(local_interpreter, "reading")
    before = footprint(program.pid)
    key = process.target_key(program.pid)
    with pytest.raises(TargetGone, match="belongs to another one now"):
        attacher.attach(replace(key, start_ticks=key.start_ticks - 1), 1.0, lambda: False)
    assert footprint(program.pid) == before


def test_a_program_that_is_not_python_is_named_so(attacher: Attacher) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        # Before it sleeps it is a copy of the Python that starts it, and then being loaded.
        assert becomes(lambda: system_call(other.pid) in SLEEPING_CALLS, STARTS_S)
        require_refused(attacher, other.pid, NotSupported, "is not CPython")
        assert other.poll() is None
        other.kill()


def test_a_zombie_is_gone(attacher: Attacher) -> None:
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(TargetGone, match="zombie"):
        attach(attacher, zombie.pid)
    assert zombie.wait() == 0


def test_a_stopped_process_is_left_stopped(local_interpreter: Interpreter, spawn: Spawn, attacher: Attacher) -> None:
    program = spawn(local_interpreter, "reading")
    os.kill(program.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)
    require_refused(attacher, program.pid, NotPermitted, "stopped by a signal", f"kill -CONT {program.pid}")
    os.kill(program.pid, signal.SIGCONT)
    assert commands_read(program) == 1


def test_a_traced_process_stays_with_its_tracer(
    local_interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(local_interpreter, "reading")
    debugger = Ptrace()
    debugger.seize(program.pid)
    require_refused(attacher, program.pid, NotPermitted, f"traced by process {os.getpid()}", f"PID {os.getpid()}")
    debugger.stop(program.pid)
    debugger.detach(program.pid)
    assert commands_read(program) == 1


def test_a_tracer_that_is_a_thread_is_told_by_its_process_and_name(
    local_interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    """The kernel names the thread, which no list of processes shows."""
    program = spawn(local_interpreter, "reading")
    traced, refused = threading.Event(), threading.Event()

    def trace() -> None:
        debugger = Ptrace()
        debugger.seize(program.pid)
        traced.set()
        refused.wait()
        debugger.stop(program.pid)
        debugger.detach(program.pid)

    tracer = threading.Thread(target=trace)
    tracer.start()
    assert traced.wait(STARTS_S)
    try:
        assert process.status(program.pid).tracer_pid == tracer.native_id != os.getpid()
        name = Path("/proc/self/comm").read_text().strip()
        told = re.escape(f"traced by process {os.getpid()} ({name})")
        require_refused(attacher, program.pid, NotPermitted, told, f"(PID {os.getpid()})")
    finally:
        refused.set()
        tracer.join()
    assert commands_read(program) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_process_of_another_user_is_refused_with_the_remedy(local_interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(local_interpreter, "reading")
    key = process.target_key(program.pid)
    order = attachment.AttachOrder(key.pid, key.start_ticks, 1.0, marker_name(NOBODY, os.getpid()), 30)
    kit = attachment.Kit(Finder(), read_agent(), Ptrace())
    before = footprint(program.pid)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(NotPermitted) as caught, attachment.attach(order, kit, lambda: False):
            pass
        # As the daemon looks at it before that.
        with pytest.raises(NotPermitted, match="belongs to user root, and this daemon runs as user nobody"):
            scan.look_at(program.pid)
        seen = scan.closed(program.pid)
    finally:
        os.seteuid(0)
    assert str(program.pid) in caught.value.message
    assert (seen.target.key, seen.user, seen.reason) == (key, "root", "belongs to user root")
    assert caught.value.remedy == "run execctl as that user, or as root: sudo execctl ..."
    assert footprint(program.pid) == before
    assert commands_read(program) == 1


def test_a_process_that_disables_remote_debugging_is_respected_on_every_version(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(interpreter, "reading", env={"PYTHON_DISABLE_REMOTE_DEBUG": "1"})
    require_refused(attacher, program.pid, NotPermitted, "PYTHON_DISABLE_REMOTE_DEBUG")
    assert commands_read(program) == 1


def test_a_version_that_is_too_old_is_refused_by_name(spawn: Spawn, attacher: Attacher) -> None:
    program = spawn(Interpreter("3.8", "3.8", oldest_unsupported("3.8"), "", 0), "busy")
    require_refused(attacher, program.pid, NotSupported, re.escape("3.8"))
    assert becomes(lambda: program.ask_json("counters")["outer"] > 0, STARTS_S)


def test_the_agent_of_another_living_daemon_is_named(
    local_interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(local_interpreter, "reading")
    alone = footprint(program.pid)
    with closing(Attacher()) as other:
        other.marker = marker_name(os.getuid(), os.getppid())
        with attached(other, program.pid) as link:
            await_tidying(program.pid, alone)
            message = f"agent of another daemon, process {os.getppid()}"
            require_refused(attacher, program.pid, NotPermitted, message, f"PID {os.getppid()}")
            detach(link)
    assert commands_read(program) == 1


def test_the_mark_of_a_daemon_that_is_dead_keeps_nobody_out(
    local_interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(local_interpreter, "reading")
    dead = subprocess.Popen(["true"])
    dead.wait()
    with closing(Attacher()) as other:
        other.marker = marker_name(os.getuid(), dead.pid)
        with attached(other, program.pid), attached(attacher, program.pid) as link:
            detach(link)
    assert commands_read(program) == 1


def test_threads_that_were_seized_before_one_that_cannot_be_are_let_go(
    local_interpreter: Interpreter, spawn: Spawn
) -> None:
    """A debugger may trace one thread alone."""
    program = spawn(local_interpreter, "threads")
    *_, last = process.threads(program.pid)
    ptrace = Ptrace()
    stopper = Stopper(program.pid, ptrace, StopClock(), None)
    with other_tracer(last), pytest.raises(NotPermitted), stopper.all():
        pass
    assert becomes(ptrace.release, STARTS_S)
    assert footprint(program.pid).tracer_pid == 0
    assert program.ask_json("state")["os_threads"] == len(process.threads(program.pid))


@contextmanager
def other_tracer(tid: int) -> Iterator[None]:
    """A process that traces one thread, and does not stop it."""
    code = f"from execd.attach.ptrace import Ptrace; Ptrace().seize({tid}); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as tracer:
        assert tracer.stdout is not None
        tracer.stdout.readline()
        yield
        tracer.communicate()


@pytest.mark.parametrize("interpreter", ["3.9", "3.12", "3.14", "3.15"], indirect=True)
def test_a_target_that_may_have_no_code_of_ours_is_attached_to_without(
    interpreter: Interpreter, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Policies against new executable memory refuse the page that the function of call.py lies in."""
    program = spawn(interpreter, "busy")
    before = footprint(program.pid)
    monkeypatch.setattr(attachment.call, "place", lambda *_: None)
    key = process.target_key(program.pid)
    order = attachment.AttachOrder(key.pid, key.start_ticks, 5.0, marker_name(os.getuid(), os.getpid()), 30)
    with attachment.attach(order, attachment.Kit(Finder(), read_agent(), Ptrace()), lambda: False) as attached:
        method = attached.method
        channel = Channel(attached.channel.dup(), program.pid)
    channel.hello(attached.nonce)
    channel.close()
    assert method == ("remote debugger" if interpreter.version in ("3.14", "3.15") else "pending call")
    assert settled(program.pid, before) == before


@pytest.mark.parametrize("error", [NotPermitted("no more"), ProcessLookupError()])
def test_what_cannot_be_tidied_up_after_an_attach_is_no_failure(
    local_interpreter: Interpreter, spawn: Spawn, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The daemon has been answered by then."""
    program = spawn(local_interpreter, "busy")

    def fail(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(attachment, "close_in_children", fail)
    key = process.target_key(program.pid)
    order = attachment.AttachOrder(key.pid, key.start_ticks, 5.0, marker_name(os.getuid(), os.getpid()), 30)
    kit = attachment.Kit(Finder(), read_agent(), Ptrace())
    with attachment.attach(order, kit, lambda: False) as attached:
        channel = Channel(attached.channel.dup(), program.pid)
    channel.hello(attached.nonce)
    channel.close()


@pytest.mark.parametrize("program", ["reading", "busy"])
def test_an_error_after_the_agent_has_come_leaves_the_link_to_the_agent(
    local_interpreter: Interpreter, spawn: Spawn, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    """Its descriptors are the agent's to close; a second close by number could hit a file of the program's."""
    target = spawn(local_interpreter, program)
    before = footprint(target.pid)
    closed: list[object] = []
    run = Injection.run

    def fail(injection: Injection, deadline: float) -> str:
        run(injection, deadline)
        raise NotPermitted("no more")

    monkeypatch.setattr(Injection, "run", fail)
    monkeypatch.setattr(attachment.links, "close_link", lambda *arguments: closed.append(arguments))
    key = process.target_key(target.pid)
    order = attachment.AttachOrder(key.pid, key.start_ticks, 5.0, marker_name(os.getuid(), os.getpid()), 30)
    with (
        pytest.raises(NotPermitted, match="no more"),
        attachment.attach(order, attachment.Kit(Finder(), read_agent(), Ptrace()), lambda: False),
    ):
        pass
    assert closed == []
    after = settled(target.pid, replace(before, pages=footprint(target.pid).pages))
    assert (after.descriptors, after.threads.keys()) == (before.descriptors, before.threads.keys())


def test_an_error_before_the_agent_has_come_takes_the_link_back(
    local_interpreter: Interpreter, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = spawn(local_interpreter, "reading")
    before = footprint(program.pid)

    def fail(*_arguments: object) -> None:
        raise NotPermitted("no more")

    monkeypatch.setattr(attachment, "_place_text", fail)
    key = process.target_key(program.pid)
    order = attachment.AttachOrder(key.pid, key.start_ticks, 5.0, marker_name(os.getuid(), os.getpid()), 30)
    with (
        pytest.raises(NotPermitted, match="no more"),
        attachment.attach(order, attachment.Kit(Finder(), read_agent(), Ptrace()), lambda: False),
    ):
        pass
    # The thread that was let go closes it when it gets to run.
    assert settled(program.pid, before) == before
    assert commands_read(program) == 1
