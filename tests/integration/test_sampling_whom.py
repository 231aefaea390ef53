"""Whom a daemon samples: descendants, everyone, one thread alone, beside an agent; and what it keeps of them."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import grpc
import pytest
from daemons import Daemon
from execctl.exits import ExitCode
from execd.attach.interpreter import Finder
from execd.attach.process import mappings
from execd.sampling import recording
from execd.sampling.options import SamplingOptions
from execd.sampling.sampler import Crowd
from execd.sessions.everyone import LOOK_S
from execd_api.v1 import sessions_pb2
from footprint import becomes
from sampled_sessions import (
    CALLS,
    CHILDREN,
    FEW,
    KEPT_SLICES,
    LEAST,
    LIMIT_S,
    RATE_HZ,
    STOPPED,
    VERSIONS,
    has_samples,
    names,
    profile_of,
    sampled,
    samples,
    spec,
)

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Spawn
    from execd_api.v1.sessions_pb2 import Session
    from interpreters import Interpreter


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


def test_both_are_started_at_once_on_a_process_that_has_an_agent(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    program = spawn(local_interpreter, "busy")
    daemon.attach(program.pid)
    with daemon.client() as client:
        started = client.start(program.pid, sample=True, profile=True)
    assert {one.collector for one in started} == {"samples", "calls"}
    assert len({one.group for one in started}) == 1
    daemon.detach(program.pid)
    assert {daemon.session(one.id).state for one in started} == {STOPPED}


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_child_that_is_stopped_by_itself_does_not_come_back(
    daemon: Daemon, spawn: Spawn, interpreter: Interpreter
) -> None:
    program = spawn(interpreter, "parenting", "1")
    root = daemon.attach(program.pid, spec(children=True)).sessions[0]

    def found() -> list[Session]:
        return [one for one in daemon.latest_sessions(100) if one.group == root.group and one.id != root.id]

    assert becomes(lambda: len(found()) == 1, LIMIT_S)
    daemon.execctl("stop", found()[0].id)
    had = samples(daemon, root.id)
    # The root has been looked at since, by the clock that looks for children too.
    assert becomes(has_samples(daemon, root.id, had + 3 * int(RATE_HZ)), LIMIT_S)
    assert len(found()) == 1
    daemon.execctl("stop", root.id)


def test_names_of_threads_that_have_aged_out_are_let_go_of(
    local_interpreter: Interpreter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_NODES_KEPT", 100)
    monkeypatch.setattr(recording, "SLICE_S", 1)
    program = tmp_path / "many.py"
    program.write_text(
        "import threading, time\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    one = threading.Thread(target=time.sleep, args=(0.02,))\n"
        "    one.start(); one.join()\n"
    )
    with subprocess.Popen([*local_interpreter.argv, str(program)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = Finder().find(process.pid, mappings(process.pid))
        options = SamplingOptions(rate_hz=RATE_HZ, keep_s=0.001)
        one = recording.StackRecording(process.pid, found, options, time.time, Crowd())
        seen: set[int] = set()

        def most_are_forgotten() -> bool:
            one.drain()
            seen.update(one.names)
            return len(seen) > LEAST and len(one.names) < len(seen) // 2

        try:
            assert becomes(most_are_forgotten, LIMIT_S)
        finally:
            one.close()
            process.kill()


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
        # Some of other tests' processes end meanwhile, of which it tells by its status.
        assert daemon.run_execctl("stop", group).returncode in (ExitCode.DONE, ExitCode.TARGET_GONE)
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
