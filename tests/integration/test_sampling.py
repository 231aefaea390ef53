"""Samples as a daemon takes them: of every version, without an agent, to any end that a process may come to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from daemons import Daemon
from execd.model import codec
from execd.sessions.everyone import LOOK_S
from execd_api.v1 import sessions_pb2
from footprint import becomes, footprint, state_letters

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Spawn
    from execd.model.profile import Profile
    from execd_api.v1.sessions_pb2 import Session
    from interpreters import Interpreter
    from programs import Program

VERSIONS = ("3.9", "3.12", "3.15")
RATE_HZ = 500.0
# What is waited for; no figure depends on how long that takes.
LIMIT_S = 30.0
# The end of a process must be told of within 2 s.
END_S = 6.0
LEAST = 100
FEW = 5
GONE = sessions_pb2.SESSION_STATE_TARGET_GONE
STOPPED = sessions_pb2.SESSION_STATE_STOPPED
STATES = ("running_with_gil", "running_without", "waiting_with_gil", "waiting_for_gil", "waiting")
HELD = ("fds", "threads", "profile", "trace", "tools", "filters", "switch_interval_s")
ENDS = {"killed": "has ended", "executes": "executes another program now"}
LAST_INSTANT_S = 0.2
CHILDREN = 3
# Of 10 s each: the one that goes on, and the one before while its last second is kept.
KEPT_SLICES = 2
FEWEST_MADE = 4
CALLS = sessions_pb2.SessionSpec(collector="calls", options_json="{}")


def spec(*, children: bool = False, **options: Any) -> sessions_pb2.SessionSpec:
    """A session of samples."""
    given = json.dumps({"rate_hz": RATE_HZ, **options})
    return sessions_pb2.SessionSpec(collector="samples", options_json=given, children=children)


def sampled(daemon: Daemon, program: Program, **options: Any) -> Session:
    """Begins to sample a program."""
    return daemon.attach(program.pid, spec(**options)).sessions[0]


def profile_of(daemon: Daemon, session: str) -> Profile:
    """The newest profile of a session."""
    return codec.decode(daemon.final_profile(session))


def samples(daemon: Daemon, session: str) -> int:
    """How many samples a session has by now."""
    daemon.snapshot(session)
    return sum(profile_of(daemon, session).column("samples"))


def has_samples(daemon: Daemon, session: str, least: int = LEAST) -> Callable[[], bool]:
    """Whether a session has so many by now."""
    return lambda: samples(daemon, session) >= least


def names(profile: Profile) -> set[str]:
    """The functions that have samples, or what they called."""
    return {profile.functions[profile.function_of(node)].name for node in range(len(profile.parents))}


def count_of(profile: Profile, name: str) -> int:
    """How many samples were in a function itself."""
    samples = profile.column("samples")
    return sum(one for node, one in enumerate(samples) if profile.functions[profile.function_of(node)].name == name)


def rounds(program: Program) -> int:
    """How far the program has come."""
    count: int = program.ask_json("counters")["leaf"]
    return count


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


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_it_goes_on_beside_an_agent_and_an_agent_beside_it(
    daemon: Daemon, spawn: Spawn, interpreter: Interpreter
) -> None:
    program = spawn(interpreter, "busy")
    alone = sampled(daemon, program).id
    both = daemon.attach(program.pid, CALLS, spec())
    calls, beside = both.sessions
    assert (calls.spec.collector, beside.spec.collector) == ("calls", "samples")
    assert calls.group == beside.group != daemon.session(alone).group
    for session in (alone, beside.id):
        assert becomes(has_samples(daemon, session), LIMIT_S)
    daemon.execctl("stop", alone)
    assert daemon.session(beside.id).state == sessions_pb2.SESSION_STATE_RUNNING
    daemon.detach(program.pid)
    assert {daemon.session(one).state for one in (alone, calls.id, beside.id)} == {STOPPED}
    assert program.stderr() == ""


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


def test_only_the_latest_slices_are_kept(daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter) -> None:
    program = spawn(local_interpreter, "busy")
    session = sampled(daemon, program, keep_s=1.0).id
    begun = time.time()
    assert becomes(lambda: bool(slices(daemon, session)) and min(slices(daemon, session)) > begun, LIMIT_S)
    assert len(slices(daemon, session)) <= KEPT_SLICES


def slices(daemon: Daemon, session: str) -> set[int]:
    """When the slices began that a session has."""
    daemon.snapshot(session)
    return {label.at_s for label in profile_of(daemon, session).labels}


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_descendants_are_sampled_too(daemon: Daemon, spawn: Spawn, interpreter: Interpreter) -> None:
    program = spawn(interpreter, "parenting", str(CHILDREN))
    root = daemon.attach(program.pid, spec(children=True)).sessions[0]

    def found() -> list[Session]:
        return [one for one in daemon.latest_sessions(100) if one.group == root.group]

    assert becomes(lambda: len(found()) == 1 + CHILDREN, LIMIT_S)
    for one in found():
        assert becomes(has_samples(daemon, one.id), LIMIT_S)
    daemon.execctl("stop", root.id)
    assert {one.state for one in found()} == {STOPPED}
    assert all("leaf" in names(profile_of(daemon, one.id)) for one in found())


def test_everyone_is_sampled_and_those_that_come_later_until_that_is_stopped(
    spawn: Spawn, local_interpreter: Interpreter
) -> None:
    first = spawn(local_interpreter, "busy")
    # Other tests' processes are sampled too: slowly, and none of them is held.
    slowly = spec(rate_hz=10.0, stopping="never", keep_s=60.0)
    with Daemon() as daemon:
        group = daemon.record_all(slowly).group

        def found() -> dict[int, Session]:
            return {one.pid: one for one in daemon.latest_sessions(1000) if one.group == group}

        assert first.pid in found()
        second = spawn(local_interpreter, "busy")
        assert becomes(lambda: second.pid in found(), LIMIT_S)
        for program in (first, second):
            assert becomes(has_samples(daemon, found()[program.pid].id, 1), LIMIT_S)
        assert daemon.process.pid not in found()
        assert not [one for one in found().values() if "execd.attach.helper" in one.command_line]
        daemon.execctl("stop", group)
        assert not [one.id for one in found().values() if not one.ended_at]
        third = spawn(local_interpreter, "busy")
        time.sleep(LOOK_S + 1.0)
        assert third.pid not in found()
        assert daemon.complaints() == []


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_our_own_agents_thread_is_in_no_sample(daemon: Daemon, spawn: Spawn, interpreter: Interpreter) -> None:
    program = spawn(interpreter, "busy")
    calls, beside = daemon.attach(program.pid, CALLS, spec()).sessions
    assert becomes(has_samples(daemon, beside.id), LIMIT_S)
    daemon.execctl("stop", calls.id)
    daemon.execctl("stop", beside.id)
    profile = profile_of(daemon, beside.id)
    # Its thread is not; its hooks stand where they cost time, in the functions of the program.
    assert not [one for one in profile.functions if one.file in ("<execd_agent.port>", "<execd_agent.agent>")]
    # A look at it in its first instants may not tell whose it is.
    others = [index for index, one in enumerate(profile.labels) if one.thread_name not in ("MainThread", "commands")]
    of_others = sum(
        count for count, one in zip(profile.column("samples"), profile.node_labels, strict=True) if one in others
    )
    assert of_others <= FEW, [(one.name, one.file) for one in profile.functions]


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


def test_one_thread_alone_is_sampled_by_name_or_number(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    program = spawn(local_interpreter, "busy")
    for wanted in ("MainThread", str(program.pid)):
        session = sampled(daemon, program, thread=wanted).id
        assert becomes(has_samples(daemon, session), LIMIT_S)
        daemon.execctl("stop", session)
        assert {label.thread_name for label in profile_of(daemon, session).labels} == {"MainThread"}
    with pytest.raises(grpc.RpcError) as refused:
        sampled(daemon, program, thread="nobody")
    assert f"process {program.pid} has no thread 'nobody'" in str(refused.value.details())
