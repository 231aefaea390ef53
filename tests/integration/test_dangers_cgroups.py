"""Targets that their cgroups limit or freeze: never killed because of us, refused with the limit's name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from activities import commands_read, entered
from attachments import attach, attached, detach, record_calls
from cgroups import cgroup, frozen
from execd.attach import process, waiting
from execd.errors import AttachTimeout, NotSupported
from execd.model.codec import decode
from execd.model.target import Outcome
from footprint import footprint, settled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cgroups import Cgroup
    from conftest import Spawn
    from daemons import Daemon
    from execd.attach.attacher import Attacher
    from interpreters import Interpreter

VERSIONS = ("3.9", "3.13", "3.15")
MIB = 1 << 20
PROGRAMS = {"busy": entered, "reading": commands_read}
TIMEOUT_S = 3.0
TOO_SHORT_S = 0.3
DEPTH = 15
CALLS = 2 ** (DEPTH + 1) - 2


@pytest.fixture
def memory() -> Iterator[Cgroup]:
    with cgroup("memory") as group:
        yield group


@pytest.fixture
def pids() -> Iterator[Cgroup]:
    with cgroup("pids") as group:
        yield group


# With the first an attach had the target killed; the second is a third more than an attach took: too near all the same.
@pytest.mark.parametrize("room_kib", [64, 1024])
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_target_at_the_limit_of_its_memory_cgroup_is_refused_and_lives(
    memory: Cgroup, interpreter: Interpreter, spawn: Spawn, attacher: Attacher, room_kib: int
) -> None:
    program = spawn(interpreter, "limited", "none")
    memory.take(program.pid)
    memory.limit(memory.used + (room_kib << 10))
    before = footprint(program.pid)
    began = time.monotonic()
    with pytest.raises(NotSupported, match="limit of its memory cgroup"):
        attach(attacher, program.pid)
    assert time.monotonic() - began < TIMEOUT_S
    assert footprint(program.pid) == before
    assert memory.stat("oom_kill") == 0
    assert commands_read(program) == 1


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_the_least_room_that_an_attach_takes_is_enough_for_it(
    memory: Cgroup, interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(interpreter, "limited", "none")
    memory.take(program.pid)
    memory.limit(memory.used + 4 * MIB + 256 * 1024)
    with attached(attacher, program.pid) as link:
        record_calls(link)
        detach(link)
    assert memory.stat("oom_kill") == 0
    assert commands_read(program) == 1


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_what_is_recorded_stays_within_a_share_of_what_the_cgroup_leaves(
    memory: Cgroup, interpreter: Interpreter, spawn: Spawn, daemon: Daemon
) -> None:
    """A record of all would take 26 MB, twice what is left."""
    program = spawn(interpreter, "growing")
    memory.take(program.pid)
    memory.limit(memory.used + 12 * MIB)
    session = daemon.record_calls(program.pid)
    assert program.ask(f"grow {DEPTH}") == str(CALLS)
    daemon.detach(program.pid)
    lost = decode(daemon.final_profile(session.id)).header.lost
    assert memory.stat("oom_kill") == 0
    assert CALLS / 2 < lost["calls over the memory limit"] < CALLS
    assert any("a quarter of what the target's limits leave" in caveat for caveat in daemon.session(session.id).caveats)
    assert program.ask(f"grow {DEPTH}") == str(CALLS)
    assert program.stderr() == ""


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_target_whose_cgroup_takes_no_thread_is_refused_until_it_does(
    pids: Cgroup, interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(interpreter, "limited", "none")
    pids.take(program.pid)
    pids.limit(pids.used)
    before = footprint(program.pid)
    with pytest.raises(NotSupported, match="cannot start a thread"):
        attach(attacher, program.pid)
    assert settled(program.pid, before) == before
    assert program.stderr() == ""
    pids.limit(pids.used + 1)
    with attached(attacher, program.pid) as link:
        detach(link)
    assert commands_read(program) == 1


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_target_that_version_2_has_frozen_is_waited_for_and_not_touched(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, name: str
) -> None:
    """It can be stopped by ptrace, and a chain of ours would wait in it until it is thawed."""
    program = spawn(interpreter, name)
    before = footprint(program.pid)
    key = process.target_key(program.pid)
    with frozen(program.pid):
        assert waiting.is_frozen(program.pid)
        assert waiting.is_in_frozen_group(program.pid)
        with pytest.raises(AttachTimeout, match="is frozen by its cgroup") as caught:
            attacher.attach(key, TOO_SHORT_S, lambda: False)
        assert "thaw" in caught.value.remedy
        assert footprint(program.pid) == before
        (told,) = [check for check in attacher.examine(key) if check.name == "not stopped"]
        assert (told.outcome, told.remedy) == (Outcome.UNKNOWN, caught.value.remedy)
    with attached(attacher, program.pid) as link:
        record_calls(link)
        detach(link)
    PROGRAMS[name](program)
    assert program.stderr() == ""
