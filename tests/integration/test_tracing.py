"""Tracing through a daemon: what comes, what is kept, terminals that are stopped, several operators, sudden ends."""

from __future__ import annotations

import json
import os
import re
import signal
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from execd.model.codec import decode
from execd.model.collector import TraceKind
from execd_api.v1 import sessions_pb2
from footprint import becomes, footprint, resident_kib, settled

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from conftest import Spawn
    from daemons import Daemon
    from interpreters import Interpreter
    from programs import Program

PROGRAM = "traced_work"
# Its call and its lines.
EVENTS_OF_A_STEP = 4
WAIT_S = 20.0
SPIN_MS = 500
SOAK_SPIN_MS = 10_000
SLACK = 3.0
# The log of a session, its profile while that is stored, what a stopped reader has ahead of him; 10 s of events as
# Python objects would be more.
GROWTH_KIB = 300 << 10
STEP = [
    " --- modulename: traced_work, funcname: step",
    "traced_work.py(21):     a = n + 1",
    "traced_work.py(22):     b = a * 2",
    "traced_work.py(23):     return b - n",
]
TRACED = sessions_pb2.SessionSpec(collector="trace", options_json='{"function": "step"}')


@contextmanager
def tracing(daemon: Daemon, program: Program, *words: str) -> Iterator[subprocess.Popen[str]]:
    """An execctl that shows the events of `step`, from when on they are recorded."""
    words = ("attach", str(program.pid), "--trace", "--function", "step", *words)
    with ended(daemon.start_execctl(*words)) as process:
        assert process.stderr is not None
        assert any("lines as they run" in line for line in process.stderr)
        yield process


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C ends programs that are started: a shell's background jobs ignore it, and what they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that is killed if it has not ended by then."""
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def totals(daemon: Daemon, session: str) -> dict[str, int]:
    """How many lines and calls are stored of a session, and how many events marks stand for."""
    profile = decode(daemon.final_profile(session))
    kinds = profile.column("kind").tolist()
    counted = {name: kinds.count(kind) for name, kind in (("lines", TraceKind.LINE), ("calls", TraceKind.CALL))}
    return {**counted, "lost": sum(profile.column("lost"))}


def test_lines_are_shown_as_they_run_and_kept(daemon: Daemon, spawn: Spawn, interpreter: Interpreter) -> None:
    program = spawn(interpreter, PROGRAM)
    program.ask("state")
    before = footprint(program.pid)
    with tracing(daemon, program, "--limit-events", "8") as shown:
        assert program.ask("steps 5") == "5"
        stdout, stderr = shown.communicate(timeout=WAIT_S)
    assert (stdout.splitlines(), shown.returncode) == (STEP * 2, 0)
    assert "8 events were shown\n" in stderr
    report = daemon.execctl("report")
    assert "\n".join(["Caveat: ended after 8 events, as asked", "", *STEP, *STEP, ""]) in report
    assert settled(program.pid, before) == before


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_a_trace_and_keeps_it(daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter) -> None:
    program = spawn(local_interpreter, PROGRAM)
    with tracing(daemon, program, "--timing") as shown:
        program.ask("steps 3")
        assert shown.stdout is not None
        assert shown.stdout.readline() == STEP[0] + "\n"
        assert shown.stdout.readline().partition(" ")[2] == STEP[1] + "\n"
        shown.send_signal(signal.SIGINT)
        shown.communicate(timeout=WAIT_S)
    assert shown.returncode == 130
    assert daemon.report()["totals"] == {"lines": 9, "calls": 3, "lost": 0}


def test_each_follower_and_each_session_has_its_own_beginning(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    program = spawn(local_interpreter, PROGRAM)
    first = daemon.attach(program.pid, TRACED).sessions[0].id
    whole = daemon.follow(first)
    assert next(whole).session == first
    program.ask("steps 2")
    assert next(whole).text.splitlines() == STEP * 2
    second = daemon.attach(program.pid, TRACED).sessions[0].id
    late = daemon.follow(first, from_now=True)
    assert next(late).session == first
    program.ask("steps 3")
    assert next(late).text.splitlines() == STEP * 3
    daemon.execctl("stop", second)
    daemon.execctl("stop", first)
    assert [totals(daemon, session)["calls"] for session in (first, second)] == [5, 3]
    assert [chunk.end for chunk in whole] == [20]
    # Of a trace that has ended what is stored comes.
    assert daemon.execctl("follow", first, "--all").splitlines() == STEP * 5
    told, *rest = daemon.follow(first, after=13)
    assert (told.end, "".join(chunk.text for chunk in rest).splitlines()) == (13, (STEP * 5)[13:])
    assert [chunk.end for chunk in rest] == [20]


def test_the_report_has_the_seconds_that_its_followers_saw(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    program = spawn(local_interpreter, PROGRAM)
    daemon.attach(program.pid, TRACED)
    program.ask("steps 1")
    # Its time begins later than that of the collector.
    session = daemon.attach(program.pid, TRACED).sessions[0].id
    live = daemon.follow(session, timing=True)
    assert next(live).session == session
    program.ask("steps 3")
    seen = next(live).text
    while seen.count("\n") < 3 * EVENTS_OF_A_STEP:
        seen += next(live).text
    assert re.sub(r"^\d+\.\d\d ", "", seen, flags=re.MULTILINE).splitlines() == STEP * 3
    assert len(re.findall(r"^\d+\.\d\d traced_work", seen, flags=re.MULTILINE)) == 9
    # Of the session as it goes on, and as it is stored at its end.
    for _ in range(2):
        assert daemon.execctl("report", session, "--timing").partition("\n\n")[2] == seen
        daemon.execctl("stop", session)
    assert daemon.execctl("follow", session, "--timing") == seen
    assert daemon.execctl("report", session).partition("\n\n")[2].splitlines() == STEP * 3


def test_what_ran_before_a_target_died_is_kept(daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter) -> None:
    program = spawn(local_interpreter, PROGRAM)
    session = daemon.attach(program.pid, TRACED).sessions[0].id
    followed = daemon.follow(session)
    next(followed)
    program.ask("steps 7")
    assert next(followed).end == 7 * EVENTS_OF_A_STEP
    os.kill(program.pid, signal.SIGKILL)
    assert daemon.ended(session).state == sessions_pb2.SESSION_STATE_TARGET_GONE
    assert totals(daemon, session)["calls"] == 7


@pytest.mark.parametrize(
    "duration_ms", [SPIN_MS, pytest.param(SOAK_SPIN_MS, marks=pytest.mark.soak)], ids=["short", "long"]
)
def test_a_terminal_that_is_stopped_slows_nobody_and_nothing_is_missing_unsaid(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter, duration_ms: int
) -> None:
    program = spawn(local_interpreter, PROGRAM)
    with tracing(daemon, program) as shown:
        session = daemon.latest_session()
        reader = Thread(target=shown.stdout.read) if shown.stdout else Thread()
        reader.start()
        with_a_reader = int(program.ask(f"spin {duration_ms}", WAIT_S + duration_ms / 1000))
        before_kib = resident_kib(daemon.process.pid)
        os.kill(shown.pid, signal.SIGSTOP)
        stopped = int(program.ask(f"spin {duration_ms}", WAIT_S + duration_ms / 1000))
        growth_kib = resident_kib(daemon.process.pid) - before_kib
        os.kill(shown.pid, signal.SIGCONT)
        daemon.execctl("stop", str(program.pid))
        reader.join(WAIT_S)
        shown.wait(WAIT_S)
    found = totals(daemon, session)
    assert sum(found.values()) == (with_a_reader + stopped) * EVENTS_OF_A_STEP
    assert stopped > with_a_reader / SLACK
    assert growth_kib < GROWTH_KIB


def test_a_follower_that_takes_nothing_finds_one_mark(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    program = spawn(local_interpreter, PROGRAM)
    session = daemon.attach(program.pid, TRACED).sessions[0].id
    followed = daemon.follow(session)
    next(followed)
    count = int(program.ask(f"spin {SPIN_MS}", WAIT_S))
    Thread(target=daemon.execctl, args=("stop", session)).start()
    chunks = list(followed)
    assert chunks[-1].end == count * EVENTS_OF_A_STEP
    shown = sum(line != "" and not line.startswith(" --- lost") for chunk in chunks for line in lines(chunk))
    assert shown + sum(chunk.lost for chunk in chunks) == count * EVENTS_OF_A_STEP
    assert becomes(lambda: daemon.session(session).latest_profile != "", WAIT_S)


def lines(chunk: sessions_pb2.FollowChunk) -> list[str]:
    return chunk.text.split("\n")


def test_a_trace_of_other_options_is_refused_by_name(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    program = spawn(local_interpreter, PROGRAM)
    daemon.attach(program.pid, TRACED)
    with ended(daemon.start_execctl("attach", str(program.pid), "--trace")) as other:
        _, stderr = other.communicate(timeout=WAIT_S)
    assert (other.returncode, "records trace" in stderr) == (6, True)
    assert json.loads(daemon.execctl("sessions", "--json"))
