"""Targets that fork, execute another program or close everything while they are measured: theirs is what they have."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attachments import attached, await_tidying, detach, record_calls
from execd.attach import process
from execd.attach.attacher import Attacher
from execd_api.v1 import sessions_pb2
from footprint import becomes, descriptors, footprint, settled, thread_ids

if TYPE_CHECKING:
    from conftest import Spawn
    from daemons import Daemon
    from interpreters import Interpreter

CROWDING_HELPER = Path(__file__).parent.parent / "crowding_helper.py"
VERSIONS = ("3.9", "3.11", "3.12", "3.15")
DISARM_S = 1.0


@pytest.mark.parametrize("arguments", [(), ("error",)], ids=["warnings shown", "warnings raised"])
def test_a_fork_while_armed_leaves_the_child_to_itself_and_the_parent_measured(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, arguments: tuple[str, ...]
) -> None:
    program = spawn(interpreter, "forking", *arguments)
    program.ask("state")
    before = footprint(program.pid)
    with attached(attacher, program.pid) as link:
        record_calls(link)
        armed = program.ask_json("state")
        child = program.ask_json("fork")
        assert becomes(lambda: not of_execd(child, before.descriptors), DISARM_S), descriptors(child)
        assert thread_ids(child) == [child]
        assert program.ask_json("reap") == [0]
        after_fork = program.ask_json("state")
        assert [after_fork[name] for name in ("tools", "profile")] == [armed[name] for name in ("tools", "profile")]
        detach(link)
    # The program's own pipe is another one since "reap".
    assert becomes(lambda: footprint(program.pid).threads == before.threads, DISARM_S)
    assert program.stderr() == ""


@pytest.mark.parametrize("interval_us", [20, 105, 4999])
def test_the_switch_interval_is_to_the_microsecond_what_it_was(
    local_interpreter: Interpreter, spawn: Spawn, attacher: Attacher, interval_us: int
) -> None:
    program = spawn(local_interpreter, "switching", str(interval_us))
    before = program.ask_json("interval")
    with attached(attacher, program.pid) as link:
        record_calls(link)
        # The answer is sent before the agent has put it back.
        assert becomes(lambda: program.ask_json("interval") == before, DISARM_S)
        detach(link)
    assert program.ask_json("interval") == before


@pytest.mark.parametrize("name", ["busy", "reading"])
def test_a_mapping_of_the_target_behind_the_page_is_left_alone(
    local_interpreter: Interpreter, spawn: Spawn, name: str
) -> None:
    program = spawn(local_interpreter, name)
    # The stack grows, and the heap, by what the target does meanwhile.
    before = {(one.start, one.permissions, one.path) for one in process.mappings(program.pid)}
    alone = footprint(program.pid)
    crowding = Attacher([sys.executable, str(CROWDING_HELPER)])
    try:
        with attached(crowding, program.pid) as link:
            record_calls(link)
            detach(link)
        await_tidying(program.pid, alone)
    finally:
        crowding.close()
    after = {(one.start, one.permissions, one.path) for one in process.mappings(program.pid)}
    assert {one for one in before - after if one[2] not in ("[heap]", "[stack]")} == set()
    assert program.alive()


def of_execd(child: int, parents_before: tuple[str, ...]) -> list[str]:
    """The descriptors of a child that its parent did not have before the attach."""
    return [descriptor for descriptor in descriptors(child) if descriptor not in parents_before]


def test_a_fork_after_the_detach_warns_and_raises_nothing(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(interpreter, "forking", "error")
    before = footprint(program.pid)
    with attached(attacher, program.pid) as link:
        detach(link)
    assert settled(program.pid, before) == before
    program.ask("fork")
    assert program.ask_json("reap") == [0]
    assert program.stderr() == ""


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_target_that_executes_another_program_ends_its_session_and_goes_on(
    interpreter: Interpreter, spawn: Spawn, daemon: Daemon
) -> None:
    program = spawn(interpreter, "leaving")
    before = footprint(program.pid)
    session = daemon.record_calls(program.pid)
    program.tell("execute")
    program.wait_until_ready()
    ended = daemon.ended(session.id)
    assert ended.state == sessions_pb2.SESSION_STATE_TARGET_GONE
    assert "executes another program" in ended.reason
    assert footprint(program.pid).descriptors == before.descriptors
    again = daemon.record_calls(program.pid)
    daemon.detach(program.pid)
    assert daemon.session(again.id).state == sessions_pb2.SESSION_STATE_STOPPED
    assert program.ask_json("work 1") > 0
    assert program.stderr() == ""


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_target_that_closes_all_its_descriptors_ends_its_session_and_keeps_its_own_files(
    interpreter: Interpreter, spawn: Spawn, daemon: Daemon
) -> None:
    program = spawn(interpreter, "leaving")
    hooks_before = program.ask_json("state")
    threads = footprint(program.pid).threads
    session = daemon.record_calls(program.pid)
    # Every number that was the agent's is now a file of the program's own.
    own_files = program.ask_json("close")
    assert daemon.ended(session.id).state == sessions_pb2.SESSION_STATE_FAILED
    assert becomes(lambda: footprint(program.pid).threads == threads, DISARM_S)
    assert program.ask_json("files") == own_files
    state = program.ask_json("state")
    assert [state[name] for name in ("tools", "profile")] == [hooks_before[name] for name in ("tools", "profile")]
    assert program.ask_json("work 1") > 0
    assert program.stderr() == ""
