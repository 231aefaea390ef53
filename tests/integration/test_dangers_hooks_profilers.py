"""Profilers of the target's own find beside us what they find alone: calls, callers, nothing of ours."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from attachments import REQUEST_TIMEOUT_S, attached, detach
from execd.attach.text import read_core
from targets.workload import CALLS

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Spawn
    from execd.attach.attacher import AgentLink, Attacher
    from execd.attach.channel import Reply
    from interpreters import Interpreter
    from programs import Program

    Work = Callable[[], object]
    Acts = Callable[[Work], None]

FORMS = {"python": None, "native": read_core()}
# Where one cProfile hears all threads, which of them calls what in its account is chance.
HEARS_ALL_THREADS = (3, 12)
THREADS = 2
# What we do, and the program does not: parts of what cProfile would list of it.
OF_OURS = ("execd", "start_new_thread", "fstat", "pthread_sigmask", "switchinterval", "compile", "exec", "marshal")
# How often the work is done while something is done to the program, below.
ROUNDS = 8


def request(link: AgentLink, operation: str, **arguments: object) -> Reply:
    """Something is asked of the agent."""
    return link.channel.request(operation, timeout_s=REQUEST_TIMEOUT_S, session="c1", **arguments)


def start(link: AgentLink, form: str) -> None:
    """Calls are recorded; --force is for 3.9 to 3.11, where a tool has the only slot of a thread."""
    request(link, "start", collector="calls", options={"force": True}, core=FORMS[form])


def record(link: AgentLink, form: str, work: Work) -> None:
    """Calls are recorded, and what recording them costs is measured, while the program works."""
    start(link, form)
    for operation in ("ping", "snapshot", "stop"):
        work()
        request(link, operation)


def found(program: Program, tool: str, acts: Acts) -> Any:
    """What a tool finds of a program's work while something is done to it."""
    program.ask(f"{tool}-on")
    acts(lambda: program.ask("work 2"))
    return program.ask_json("off")


def undisturbed(work: Work) -> None:
    """As much work, and nothing else."""
    for _ in range(ROUNDS):
        work()


def coming_and_going(attacher: Attacher, program: Program, form: str) -> Acts:
    """Two attaches to a program that waits."""

    def acts(work: Work) -> None:
        for _ in range(2):
            with attached(attacher, program.pid) as link:
                record(link, form, work)
                detach(link)
            work()

    return acts


def counted(rows: Any) -> dict[str, list[int]]:
    """The calls and the primitive calls of the workload's functions."""
    return {row[0][2]: row[1:3] for row in rows if row[0][0] == "workload.py"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tool", ["cprofile", "listener"])
def test_a_profiler_finds_the_same_while_we_come_and_go(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, tool: str, form: str
) -> None:
    alone, program = spawn(interpreter, "profiled", "0"), spawn(interpreter, "profiled", "0")
    expected = found(alone, tool, undisturbed)
    assert len(expected[0]) > len(CALLS)
    assert found(program, tool, coming_and_going(attacher, program, form)) == expected
    assert program.stderr() == ""


@pytest.mark.parametrize("form", FORMS)
def test_a_profiler_that_begins_and_ends_while_we_record_finds_the_same(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, form: str
) -> None:
    alone, program = spawn(interpreter, "profiled", "0"), spawn(interpreter, "profiled", "0")
    expected = [found(alone, "cprofile", undisturbed) for _ in range(2)]
    with attached(attacher, program.pid) as link:

        def acts(work: Work) -> None:
            for operation in ("ping", "snapshot") * (ROUNDS // 2):
                work()
                request(link, operation)

        before = found(program, "cprofile", undisturbed)
        start(link, form)
        assert [before, found(program, "cprofile", acts)] == expected
        request(link, "stop")
        detach(link)


@pytest.mark.parametrize("form", FORMS)
def test_a_profiler_finds_the_same_in_a_program_of_several_threads(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, form: str
) -> None:
    alone, program = (spawn(interpreter, "profiled", str(THREADS)) for _ in range(2))
    expected = found(alone, "cprofile", undisturbed)
    rows = found(program, "cprofile", coming_and_going(attacher, program, form))
    if interpreter.version_info < HEARS_ALL_THREADS:
        assert rows == expected
        return
    # Also alone it takes some for one more or less where threads follow each other.
    turns, found_calls = ROUNDS * THREADS, counted(rows[0])
    for name, (count, _) in CALLS.items():
        assert found_calls[name][0] == pytest.approx(ROUNDS * (2 + THREADS) * count, abs=turns), name
    assert not [row for row in rows[0] if any(part in str(row) for part in OF_OURS)]


@pytest.mark.parametrize("form", FORMS)
def test_a_profiler_finds_the_same_where_we_come_to_a_program_at_work(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, form: str
) -> None:
    program = spawn(interpreter, "profiled", "0")
    assert program.ask("toil") == "toiling"
    for _ in range(2):
        with attached(attacher, program.pid) as link:
            record(link, form, lambda: None)
            detach(link)
    os.kill(program.pid, signal.SIGUSR1)
    passes, rows = json.loads(program.read_line())
    expected = {name: [passes * count for count in counts] for name, counts in CALLS.items()}
    assert {name: count for name, count in counted(rows).items() if name in CALLS} == expected
    assert not [row for row in rows if any(part in str(row) for part in OF_OURS)]


@pytest.mark.parametrize("form", FORMS)
def test_what_events_cost_is_measured_unless_a_profiler_would_hear_of_it(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, form: str
) -> None:
    """Where a profiler hears its own thread alone it hears nothing of the agent's."""
    program, profiled = (spawn(interpreter, "profiled", "0") for _ in range(2))
    profiled.ask("cprofile-on")
    found = []
    for one in (program, profiled):
        with attached(attacher, one.pid) as link:
            start(link, form)
            request(link, "snapshot")
            found.append(request(link, "ping").facts["costs"]["c1"].get("prices", {}))
            detach(link)
    alone, beside = found
    assert {"python", "c", "slower"} <= alone.keys()
    # Of the native form, from handlers that were told of events.
    assert alone.get("timed", 1.0) > 0
    assert beside.keys() == (set() if interpreter.version_info >= HEARS_ALL_THREADS else alone.keys())
