"""What the native form has recorded is there whatever becomes of its target, and without asking it."""

from __future__ import annotations

import json
import os
import random
import signal
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from agent_drivers import by_name, calls_by_thread
from execd.model import codec
from execd.model.filter import by_thread
from execd_api.v1 import sessions_pb2
from footprint import becomes, descriptors, state_letters
from programs import ProgramError

if TYPE_CHECKING:
    from conftest import Spawn
    from daemons import Daemon
    from execd.model.profile import Profile
    from interpreters import Interpreter
    from programs import Program

THREADS = 2
SOME_CALLS = 20_000
KILLS = 3
KILLED_AFTER_S = (0.05, 0.4)
SOME_CPU_NS = 200_000_000
SEED = 20261122
STOPPED_S = 10.0
FORGED_S = 3.0
CHECKPOINTED_S = 40.0


def tally(program: Program) -> int:
    """Our descriptor of the memory that a program counts in."""
    return os.open(f"/proc/{program.pid}/fd/{program.ask('place')}", os.O_RDONLY)


def counted(descriptor: int) -> dict[str, int]:
    """What each thread has counted."""
    counts = struct.unpack(f"={THREADS}Q", os.pread(descriptor, 8 * THREADS, 0))
    return {f"spinning-{thread}": count for thread, count in enumerate(counts)}


def last_profile(daemon: Daemon, session: str) -> Profile:
    """The last one of a session whose target is gone, which nothing is missing from."""
    ended = daemon.ended(session)
    assert ended.state == sessions_pb2.SESSION_STATE_TARGET_GONE, ended.reason
    assert not [caveat for caveat in daemon.report(session)["profile"]["caveats"] if "are missing" in caveat]
    return codec.decode(daemon.final_profile(session))


def taken_now(daemon: Daemon, session: str) -> Profile:
    """A snapshot."""
    (stored,) = daemon.snapshot(session)
    return codec.decode(daemon.stored(stored.id))


def test_a_killed_program_has_lost_no_call(daemon: Daemon, interpreter: Interpreter, spawn: Spawn) -> None:
    choose = random.Random(SEED)  # noqa: S311 - the same ones in every run
    for _ in range(KILLS):
        program = spawn(interpreter, "tallying")
        session = daemon.record_calls(program.pid, "native")
        assert session.form == "native"
        descriptor = tally(program)
        program.ask(f"start {THREADS}")
        assert becomes(lambda descriptor=descriptor: min(counted(descriptor).values()) > 0, STOPPED_S)
        time.sleep(choose.uniform(*KILLED_AFTER_S))
        program.kill()
        found = calls_by_thread(last_profile(daemon, session.id), "step")
        for thread, count in counted(descriptor).items():
            # One may just have begun.
            assert 0 <= found[thread] - count <= 1
        os.close(descriptor)


@pytest.mark.parametrize("way", ["return", "exit", "abort", "fault", "execute"])
@pytest.mark.parametrize("interpreter", ["3.9", "3.11", "3.12", "3.15"], indirect=True)
def test_a_program_that_ends_has_lost_no_call(daemon: Daemon, interpreter: Interpreter, spawn: Spawn, way: str) -> None:
    program = spawn(interpreter, "tallying")
    session = daemon.record_calls(program.pid, "native")
    program.tell(f"{way} {SOME_CALLS}")
    assert by_name(last_profile(daemon, session.id))["step"].calls == SOME_CALLS


def test_a_stopped_program_is_read(daemon: Daemon, interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "tallying")
    session = daemon.record_calls(program.pid, "native")
    descriptor = tally(program)
    program.ask(f"start {THREADS}")
    assert becomes(lambda: min(counted(descriptor).values()) > 0, STOPPED_S)
    os.kill(program.pid, signal.SIGSTOP)
    try:
        assert becomes(lambda: state_letters(program.pid) == {"T"}, STOPPED_S)
        found = calls_by_thread(taken_now(daemon, session.id), "step")
        for thread, count in counted(descriptor).items():
            assert 0 <= found[thread] - count <= 1
    finally:
        os.kill(program.pid, signal.SIGCONT)
    os.close(descriptor)


def test_a_program_that_keeps_its_gil_is_read_and_checkpointed(
    daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(local_interpreter, "holding")
    session = daemon.record_calls(program.pid, "native")
    program.ask("state")
    program.tell("block")
    assert program.read_line() == "holding"
    held_since = time.time()
    taken = taken_now(daemon, session.id)
    assert by_name(taken)["state"].calls == by_name(taken)["block"].calls == 1
    assert taken.header.ended_at >= held_since

    def is_checkpointed() -> bool:
        with suppress(grpc.RpcError):  # it has just given its place to the next one
            return codec.decode(daemon.final_profile(session.id)).header.ended_at > taken.header.ended_at
        return False

    assert becomes(is_checkpointed, CHECKPOINTED_S)
    program.tell("")
    assert program.read_line() == "1"
    assert daemon.session(session.id).state == sessions_pb2.SESSION_STATE_RUNNING
    daemon.detach(program.pid)
    assert daemon.session(session.id).state == sessions_pb2.SESSION_STATE_STOPPED


def tables_open(pid: int) -> int:
    """How many descriptors of tables a process has."""
    return sum("execd_tables" in descriptor for descriptor in descriptors(pid))


def test_the_daemon_has_one_descriptor_of_a_session_and_the_target_none(
    daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(local_interpreter, "tallying")
    before = tables_open(daemon.process.pid)
    daemon.record_calls(program.pid, "native")
    assert tables_open(daemon.process.pid) == before + 1
    # The next thing that the daemon asks, within a second.
    assert becomes(lambda: tables_open(program.pid) == 0, CHECKPOINTED_S)
    daemon.detach(program.pid)
    assert tables_open(daemon.process.pid) == before


def test_a_child_writes_nothing_into_its_parents_tables(daemon: Daemon, interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "tallying")
    session = daemon.record_calls(program.pid, "native")
    assert program.ask_json(f"fork {SOME_CALLS}") == 0
    daemon.detach(program.pid)
    assert "step" not in by_name(codec.decode(daemon.final_profile(session.id)))


def test_cpu_times_are_those_of_the_system(daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(local_interpreter, "tallying")
    options = {"form": "native", "clock": "cpu"}
    spec = sessions_pb2.SessionSpec(collector="calls", options_json=json.dumps(options))
    session = daemon.attach(program.pid, spec).sessions[0]
    assert session.form == "native"
    program.ask("start 1")
    tid = program.ask_json("thread")
    used = Path(f"/proc/{program.pid}/task/{tid}/schedstat")
    assert becomes(lambda: int(used.read_text().split()[0]) > SOME_CPU_NS, CHECKPOINTED_S)
    os.kill(program.pid, signal.SIGSTOP)
    try:
        assert becomes(lambda: state_letters(program.pid) == {"T"}, STOPPED_S)
        profile = taken_now(daemon, session.id)
        system_ns = int(used.read_text().split()[0])
    finally:
        os.kill(program.pid, signal.SIGCONT)
    found = by_thread(profile, "spinning-0")
    assert sum(found.column("self_ns")) == pytest.approx(system_ns, rel=0.05)


@pytest.mark.parametrize("count", [8, 64, 512])
@pytest.mark.parametrize("interpreter", ["3.9", "3.13"], indirect=True)
def test_a_program_that_forges_its_tables_harms_nobody_else(
    daemon: Daemon, interpreter: Interpreter, spawn: Spawn, count: int
) -> None:
    other, program = spawn(interpreter, "tallying"), spawn(interpreter, "forging")
    beside, session = daemon.record_calls(other.pid, "native"), daemon.record_calls(program.pid, "native")
    program.tell(f"forge {count}")
    # It may have ended, or never do.
    with suppress(ProgramError):
        program.read_line(FORGED_S)
    with suppress(grpc.RpcError):
        daemon.snapshot(session.id)
    program.kill()
    assert daemon.ended(session.id).state != sessions_pb2.SESSION_STATE_RUNNING
    assert other.ask_json(f"fork {SOME_CALLS}") == 0
    daemon.snapshot(beside.id)
    daemon.detach(other.pid)
    assert daemon.session(beside.id).state == sessions_pb2.SESSION_STATE_STOPPED
