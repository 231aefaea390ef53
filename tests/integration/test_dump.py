"""Dumps: where all threads of a process are, of every version, in states in which nothing can be attached."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from execctl.errors import NotSupported, TargetGone
from execd import errors
from execd.attach import process
from execd.attach.interpreter import Finder
from execd.attach.scan import look_at
from execd.sampling.dump import take_dump
from execd.sampling.sampler import ProcessSampler
from execd.sampling.thread_names import LONGEST_NAME
from footprint import becomes, footprint, state_letters
from places import OWN_NAMESPACES, Placed
from targets.alternating import CALLS
from targets.naming import NATIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from conftest import Spawn
    from daemons import Daemon
    from execd.model.dump import Dump, ThreadStack
    from interpreters import Interpreter
    from programs import Program, ProgramFolders

LIMIT_S = 20.0
VERSIONS = ("3.9", "3.12", "3.15")
# What the sampler reads of one thread.
MOST_FRAMES = 1024
MAIN = "MainThread"
# Until its stdin ends: then the kernel lets go.
TRACING = """
import sys
from execd.attach.ptrace import Ptrace
debugger = Ptrace()
debugger.seize(int(sys.argv[1]))
print("tracing", flush=True)
sys.stdin.read()
"""
RUNNING = ("running_with_gil", "running_without")


def dump_of(pid: int, *, never_stop: bool = False, with_tasks: bool = False) -> Dump:
    found = Finder().find(pid, process.mappings(pid))
    return take_dump(look_at(pid), found, never_stop=never_stop, with_tasks=with_tasks)


def thread(dump: Dump, name: str) -> ThreadStack:
    """The one thread of that name."""
    (found,) = (one for one in dump.threads if one.name == name)
    return found


def functions(stack: ThreadStack) -> list[str]:
    """The names of its functions, outermost first."""
    return [frame.function.rpartition(".")[2] for frame in reversed(stack.frames)]


def becomes_so(pid: int, condition: Callable[[Dump], bool]) -> Dump:
    """A dump that fulfils a condition, which a program comes to sooner or later."""
    taken: list[Dump] = []

    def look() -> bool:
        taken.append(dump_of(pid))
        try:
            return condition(taken[-1])
        except ValueError:
            # While a thread starts the table of names may be in the midst of a change.
            return False

    assert becomes(look, LIMIT_S), taken[-1]
    return taken[-1]


def test_every_thread_is_where_it_stands(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "standing")
    told: dict[int, list[tuple[str, str, int]]] = {}

    def agrees(dump: Dump) -> bool:
        told.clear()
        for _, native_id, frames in program.ask_json("frames"):
            told[native_id] = [(qualname, file, line) for _, _, line, _, qualname, file, _ in frames]
        met = {
            one.native_id: [(frame.function, frame.file, frame.line) for frame in one.frames]
            for one in dump.threads
            if one.frames[0].function == "stand"
        }
        return met == told

    dump = becomes_so(program.pid, agrees)
    standing = [one for one in dump.threads if one.native_id in told and one.frames[0].function == "stand"]
    assert len(standing) == len(told) > 10
    assert {(one.state, one.system_call, one.is_settled) for one in standing} == {("waiting", "futex", True)}
    assert thread(dump, "recursive").thread_id > 0
    # It waits, and is not stopped for that; the thread that answered last may run still.
    assert dump.stopped <= 1
    assert any(frame.function == "stand_inside" for one in dump.threads for frame in one.frames)


@pytest.mark.parametrize("kind", CALLS)
def test_a_busy_thread_is_seen_in_a_stack_that_it_has(interpreter: Interpreter, spawn: Spawn, kind: str) -> None:
    program = spawn(interpreter, "alternating", kind)
    # It is ready an instant before it begins with its work.
    dump = becomes_so(
        program.pid,
        lambda dump: thread(dump, MAIN).state == "running_with_gil" and kind in functions(thread(dump, MAIN)),
    )
    main = thread(dump, MAIN)
    assert main.native_id == program.pid
    assert main.is_settled
    inner = [name for name in functions(main) if name not in ("<module>", "main")]
    assert all(below in CALLS[kind].get(above, ()) for above, below in pairwise(inner)), inner
    reader = thread(becomes_so(program.pid, lambda dump: thread(dump, "commands").system_call == "read"), "commands")
    assert (reader.state, functions(reader)[-1]) == ("waiting", "commands")
    assert program.stderr() == ""
    assert "t" not in state_letters(program.pid)


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_threads_are_not_stopped_where_that_is_forbidden(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "alternating", "short")
    assert dump_of(program.pid, never_stop=True).stopped == 0
    # One that is about to wait need not be stopped.
    assert becomes(lambda: dump_of(program.pid).stopped > 0, LIMIT_S)


def begun(interpreter: Interpreter, spawn: Spawn, **env: str) -> Program:
    """A program that computes, and has all of its threads."""
    program = spawn(interpreter, "alternating", env=env)
    program.ask("state")
    return program


@contextmanager
def stopped(interpreter: Interpreter, spawn: Spawn) -> Iterator[Program]:
    """A process that was sent a SIGSTOP."""
    program = begun(interpreter, spawn)
    os.kill(program.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)
    yield program
    assert state_letters(program.pid) == {"T"}
    os.kill(program.pid, signal.SIGCONT)


@contextmanager
def traced(interpreter: Interpreter, spawn: Spawn) -> Iterator[Program]:
    """A process that another one traces."""
    program = begun(interpreter, spawn)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", TRACING, str(program.pid)]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as debugger:
        assert debugger.stdout is not None
        assert debugger.stdout.readline() == b"tracing\n"
        yield program


@contextmanager
def switched_off(interpreter: Interpreter, spawn: Spawn) -> Iterator[Program]:
    """A process whose environment forbids remote debugging."""
    yield begun(interpreter, spawn, PYTHON_DISABLE_REMOTE_DEBUG="1")


@contextmanager
def filtered(interpreter: Interpreter, spawn: Spawn) -> Iterator[Program]:
    """A process that the system call which a stop may lead to would end."""
    yield spawn(interpreter, "filtered", "kill", "219")


@contextmanager
def holding(interpreter: Interpreter, spawn: Spawn) -> Iterator[Program]:
    """A process whose only thread holds the GIL in C."""
    program = spawn(interpreter, "holding")
    assert program.ask("block") == "holding"
    yield program


STATES: dict[str, tuple[Callable[[Interpreter, Spawn], AbstractContextManager[Program]], str]] = {
    "stopped": (stopped, "is stopped by a signal"),
    "traced": (traced, "is being traced by process"),
    "environment": (switched_off, ""),
    "seccomp": (filtered, ""),
    "holding": (holding, ""),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_process_that_cannot_be_attached_to_is_shown(interpreter: Interpreter, spawn: Spawn, state: str) -> None:
    put, note = STATES[state]
    with put(interpreter, spawn) as program:
        before = footprint(program.pid)
        dump = becomes_so(program.pid, lambda dump: all(one.is_settled for one in dump.threads))
        assert {"<module>", "main"} <= set(functions(thread(dump, MAIN)))
        assert [sentence for sentence in dump.notes if note in sentence] == list(dump.notes)
        assert bool(dump.notes) == bool(note)
        assert footprint(program.pid) == before
    assert program.alive()


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_who_holds_the_gil_in_c_is_said(interpreter: Interpreter, spawn: Spawn) -> None:
    with holding(interpreter, spawn) as program:
        dump = becomes_so(program.pid, lambda dump: thread(dump, MAIN).system_call == "read")
        assert thread(dump, MAIN).state == "waiting_with_gil"
        assert functions(thread(dump, MAIN))[-1] == "block"


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_of_a_deep_stack_the_innermost_frames_are_shown(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "descending", str(3 * MOST_FRAMES))
    dump = becomes_so(program.pid, lambda dump: thread(dump, MAIN).system_call != "")
    names = functions(thread(dump, MAIN))
    assert names[0] == "(frames left out)"
    assert names[1:] == ["descend"] * MOST_FRAMES


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_process_whose_threads_come_and_go_is_shown(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "naming")
    lasting = {native_id for native_id, *_ in program.ask_json("names")}
    program.ask_json("churn")
    for _ in range(20):
        # One that runs may leave what holds it still too late, and be told as unsettled.
        becomes_so(program.pid, lambda dump: lasting <= {one.native_id for one in dump.threads if one.is_settled})


def test_a_dump_of_its_own_process_is_taken() -> None:
    done = threading.Event()
    beside = threading.Thread(target=done.wait, name="beside")
    beside.start()
    try:
        dump = becomes_so(os.getpid(), lambda dump: thread(dump, "beside").system_call == "futex")
    finally:
        done.set()
        beside.join()
    assert functions(thread(dump, "beside"))[-1] == "wait"
    assert "test_a_dump_of_its_own_process_is_taken" in functions(thread(dump, MAIN))
    assert dump.stopped == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone may make namespaces everywhere")
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_process_in_namespaces_of_its_own_is_shown(
    interpreter: Interpreter, program_folders: ProgramFolders, tmp_path: Path
) -> None:
    command = [*OWN_NAMESPACES, *program_folders.command(interpreter, "naming", ())]
    with Placed(interpreter, command, tmp_path / "stderr", {}, "names") as program:
        program.wait_until_ready()
        told = {native_id: name for native_id, _, name in program.ask_json("names") if len(name) < LONGEST_NAME}
        dump = becomes_so(program.pid, lambda dump: all(one.system_call for one in dump.threads))
        assert {one.native_id: one.name for one in dump.threads if one.native_id in told} == told
        assert thread(dump, MAIN).native_id != program.pid
        assert thread(dump, NATIVE).frames[0].function == "native"


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_process_that_ends_meanwhile_is_gone(
    interpreter: Interpreter, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = spawn(interpreter, "alternating")
    take_turn = ProcessSampler.turn

    def turn(sampler: ProcessSampler) -> None:
        program.kill()
        take_turn(sampler)

    monkeypatch.setattr(ProcessSampler, "turn", turn)
    with pytest.raises(errors.TargetGone, match=f"process {program.pid} has ended"):
        dump_of(program.pid)


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_threads_that_wait_for_the_gil_are_told(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "contending", "3")
    # Threads are read one after the other: the lock may go to another one meanwhile. The main thread is ready first.
    wanted = {"waiting_for_gil": 2, "running_with_gil": 1, "waiting": 1}
    dump = becomes_so(program.pid, lambda dump: wanted.items() <= Counter(one.state for one in dump.threads).items())
    contending = [one for one in dump.threads if one.state == "waiting_for_gil"]
    assert {functions(one)[-1] for one in contending} == {"contend"}
    assert {one.system_call for one in contending} == {""}


def asked(daemon: Daemon, *words: str) -> dict[str, Any]:
    """What `execctl dump --json` prints."""
    answer: dict[str, Any] = json.loads(daemon.execctl("dump", *words, "--json"))
    return answer


def test_execctl_shows_a_process(daemon: Daemon, interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "reading")
    before = footprint(program.pid)
    record = asked(daemon, str(program.pid))
    assert record["pid"] == program.pid
    assert interpreter.full_version.startswith(record["python_version"])
    text = daemon.execctl("dump", str(program.pid))
    assert f"MainThread (thread {program.pid}, ident " in text
    assert "\n    main (" in text
    assert footprint(program.pid) == before


def test_the_daemon_itself_can_be_shown(daemon: Daemon) -> None:
    record = asked(daemon, str(daemon.process.pid))
    (main,) = (one for one in record["threads"] if one["name"] == MAIN)
    assert main["frames"][-1]["function"] == "_run_module_as_main"
    assert any(one["name"].startswith("execd-") for one in record["threads"])
    assert daemon.complaints() == []


def test_what_cannot_be_shown_is_refused(daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter) -> None:
    program = spawn(local_interpreter, "reading")
    with daemon.client() as client, subprocess.Popen(["sleep", "60"]) as other:
        with pytest.raises(NotSupported, match="CPython") as refused:
            client.dump(other.pid)
        assert refused.value.remedy
        other.kill()
        other.wait()
        with pytest.raises(TargetGone, match=f"no process {other.pid}"):
            client.dump(other.pid)
        if sys.version_info < (3, 14):
            with pytest.raises(NotSupported, match="where its tasks are") as refused:
                client.dump(program.pid, tasks=True)
            assert "3.14" in refused.value.remedy
