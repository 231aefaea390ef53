"""Samples as a daemon takes them: of every version, without an agent, to any end that a process may come to."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import pytest
from daemons import Daemon
from execd_api.v1 import sessions_pb2
from footprint import becomes, footprint, state_letters
from sampled_sessions import (
    CALLS,
    END_S,
    ENDS,
    FEWEST_MADE,
    GONE,
    HELD,
    LAST_INSTANT_S,
    LEAST,
    LIMIT_S,
    RATE_HZ,
    STATES,
    VERSIONS,
    count_of,
    has_samples,
    names,
    profile_of,
    rounds,
    sampled,
    samples,
    spec,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Spawn
    from interpreters import Interpreter

SELDOM_HZ = 4.0
# personality(2): of what is started from now on; the argument that changes nothing.
ADDR_NO_RANDOMIZE, UNCHANGED = 0x0040000, 0xFFFFFFFF


def test_a_process_is_sampled_and_has_nothing_of_ours_in_it(
    daemon: Daemon, spawn: Spawn, interpreter: Interpreter
) -> None:
    program = spawn(interpreter, "busy")
    before, state = footprint(program.pid), program.ask_json("state")
    attached = daemon.attach(program.pid, spec())
    session = attached.sessions[0].id
    assert (attached.method, attached.joined, attached.stopped_us) == ("outside", True, 0)
    assert becomes(has_samples(daemon, session), LIMIT_S)
    # For an instant at a time a thread of it is held while it is read.
    assert replace(footprint(program.pid), tracer_pid=0) == before
    daemon.execctl("stop", session)
    profile = profile_of(daemon, session)
    assert {"main", "outer", "middle", "leaf"} <= names(profile)
    states = sum(sum(profile.column(name)) for name in STATES)
    assert states == sum(profile.column("samples")) >= LEAST
    assert sum(profile.column("running_with_gil")) > 0
    # The reader waits in its call all the time.
    assert "(system call read)" in names(profile)
    assert {label.thread_name for label in profile.labels} == {"MainThread", "commands"}
    assert profile.header.extra["rate_hz"] == RATE_HZ
    after = program.ask_json("state")
    assert {name: after[name] for name in HELD} == {name: state[name] for name in HELD}
    assert footprint(program.pid) == before
    assert program.stderr() == ""
    assert daemon.complaints() == []


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
@pytest.mark.parametrize("way", ENDS)
def test_a_session_ends_with_its_program(daemon: Daemon, spawn: Spawn, interpreter: Interpreter, way: str) -> None:
    program = spawn(interpreter, "parenting")
    session = sampled(daemon, program).id
    assert becomes(has_samples(daemon, session), LIMIT_S)
    had = samples(daemon, session)
    began = time.monotonic()
    if way == "killed":
        os.kill(program.pid, signal.SIGKILL)
    else:
        program.tell("execute")
    ended = daemon.ended(session)
    assert time.monotonic() - began < END_S
    assert ended.state == GONE
    assert ended.reason == f"process {program.pid} {ENDS[way]}"
    assert sum(profile_of(daemon, session).column("samples")) >= had
    # Only what ran for the first time in the last instant may have lost its name; nothing is of another program.
    assert count_of(profile_of(daemon, session), "(unreadable)") <= LAST_INSTANT_S * RATE_HZ


@pytest.fixture
def unrandomized() -> Iterator[None]:
    """What is started meanwhile lies where it lies each time."""
    personality = ctypes.CDLL(None).personality
    before = personality(UNCHANGED)
    personality(before | ADDR_NO_RANDOMIZE)
    yield
    personality(before)


@pytest.mark.usefixtures("unrandomized")
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_program_that_lies_where_the_one_before_it_lay_is_another_one(
    daemon: Daemon, spawn: Spawn, interpreter: Interpreter
) -> None:
    program = spawn(interpreter, "leaving")
    # So seldom that what comes between the two is most often not met.
    session = sampled(daemon, program, rate_hz=SELDOM_HZ).id
    assert becomes(lambda: samples(daemon, session) > 1, LIMIT_S)
    program.tell("execute")
    assert daemon.ended(session).reason == f"process {program.pid} {ENDS['executes']}"


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_stopped_process_is_sampled_where_it_stands(daemon: Daemon, spawn: Spawn, interpreter: Interpreter) -> None:
    program = spawn(interpreter, "busy")
    os.kill(program.pid, signal.SIGSTOP)
    assert becomes(lambda: set(state_letters(program.pid)) == {"T"}, LIMIT_S)
    session = sampled(daemon, program, stopping="always").id
    assert becomes(has_samples(daemon, session), LIMIT_S)
    daemon.execctl("stop", session)
    # It stays as whoever stopped it wants it, and goes on when that one lets it.
    assert set(state_letters(program.pid)) == {"T"}
    os.kill(program.pid, signal.SIGCONT)
    count = rounds(program)
    assert becomes(lambda: rounds(program) > count, LIMIT_S)


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
@pytest.mark.parametrize("stopping", ["as needed", "always", "never"])
def test_nothing_is_left_stopped_by_a_daemon_that_is_killed(
    spawn: Spawn, interpreter: Interpreter, stopping: str
) -> None:
    program = spawn(interpreter, "busy")
    with Daemon() as daemon:
        session = sampled(daemon, program, stopping=stopping).id
        assert becomes(has_samples(daemon, session), LIMIT_S)
        daemon.kill()
        count = rounds(program)
        assert becomes(lambda: rounds(program) > count, LIMIT_S)
        assert not {"t", "T"} & set(state_letters(program.pid))
        daemon.start()
        assert daemon.session(session).state == sessions_pb2.SESSION_STATE_INTERRUPTED
        assert sum(profile_of(daemon, session).column("samples")) > 0


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_what_forbids_an_agent_forbids_no_samples(daemon: Daemon, spawn: Spawn, interpreter: Interpreter) -> None:
    program = spawn(interpreter, "busy", env={"PYTHON_DISABLE_REMOTE_DEBUG": "1"})
    with pytest.raises(grpc.RpcError):
        daemon.attach(program.pid, CALLS)
    session = sampled(daemon, program).id
    assert becomes(has_samples(daemon, session), LIMIT_S)


def test_a_process_that_another_one_traces_is_read_as_it_runs(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    from execd.attach.ptrace import Ptrace  # noqa: PLC0415

    program = spawn(local_interpreter, "busy")
    ptrace = Ptrace()
    ptrace.seize(program.pid)
    session = sampled(daemon, program, stopping="always").id
    assert becomes(has_samples(daemon, session), LIMIT_S)
    daemon.execctl("stop", session)
    figures = profile_of(daemon, session).header.extra
    assert figures["stopped"] == 0
    assert figures["stop_refused"] > 0  # type: ignore[operator]
    ptrace.interrupt(program.pid)
    ptrace.await_stop(program.pid)
    ptrace.detach(program.pid)


@pytest.mark.parametrize("options", [{"rate_hz": 0}, {"rate_hz": 1e9}, {"stopping": "sometimes"}, {"hertz": 5}])
def test_options_that_mean_nothing_are_refused(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter, options: dict[str, object]
) -> None:
    program = spawn(local_interpreter, "busy")
    with pytest.raises(grpc.RpcError) as refused:
        sampled(daemon, program, **options)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert next(iter(options)) in str(refused.value.details())
    assert footprint(program.pid) == footprint(program.pid)


def test_what_is_no_python_is_refused(daemon: Daemon, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path) as other:
        with pytest.raises(grpc.RpcError) as refused:
            daemon.attach(other.pid, spec())
        other.kill()
    assert "is not CPython" in str(refused.value.details())


def test_functions_that_ran_for_an_instant_have_their_names(
    daemon: Daemon, local_interpreter: Interpreter, tmp_path: Path
) -> None:
    program = tmp_path / "instant.py"
    program.write_text(
        "import time\n"
        "def once(number):\n"
        "    names = {}\n"
        "    exec(f'def made_{number}(until):\\n while time.monotonic() < until: pass', globals(), names)\n"
        "    names.popitem()[1](time.monotonic() + 0.2)\n"
        "print('ready', flush=True)\n"
        "for number in range(10): once(number)\n"
    )
    with subprocess.Popen([*local_interpreter.argv, str(program)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        session = daemon.attach(process.pid, spec()).sessions[0].id
        process.wait()
        daemon.ended(session)
    profile = profile_of(daemon, session)
    made = {name for name in names(profile) if name.startswith("made_")}
    unreadable = count_of(profile, "(unreadable)")
    # On a busy machine a look may come late.
    assert len(made) >= FEWEST_MADE
    assert unreadable <= sum(profile.column("samples")) // 2


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
@pytest.mark.parametrize("stopping", ["as needed", "always"])
def test_no_thread_is_held_that_a_filter_would_end_for_it(
    daemon: Daemon, spawn: Spawn, interpreter: Interpreter, stopping: str
) -> None:
    program = spawn(interpreter, "filtered_work")
    session = daemon.attach(program.pid, spec(stopping=stopping, rate_hz=5000.0)).sessions[0]
    assert any("seccomp" in one for one in session.caveats)
    assert becomes(has_samples(daemon, session.id, 10 * LEAST), LIMIT_S)
    daemon.execctl("stop", session.id)
    figures = profile_of(daemon, session.id).header.extra
    assert figures["stopped"] == 0
    if stopping == "always":
        assert figures["stop_refused"] > 0  # type: ignore[operator]
    slept = program.ask_json("counters")["slept"]
    assert becomes(lambda: program.ask_json("counters")["slept"] > slept, LIMIT_S)
