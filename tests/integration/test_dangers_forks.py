"""Forks at any moment of an attach: the children have nothing of ours in them, and nothing is said."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attachments import REQUEST_TIMEOUT_S, attach, attached, detach, record_calls
from execd.attach.attacher import Attacher
from execd.errors import ExecdError
from footprint import becomes, descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Spawn
    from interpreters import Interpreter
    from programs import Program

VERSIONS = ("3.9", "3.12", "3.15")
WAYS = ("fork", "subprocess", "multiprocessing", "forkserver")
# An attach takes tens of milliseconds, a fork about one: each is hit by some.
ATTACHES = 8
SOAK_ATTACHES = 100
LINGER_MS = 400
PAUSING_HELPER = Path(__file__).parent.parent / "pausing_helper.py"
# A child that cannot be touched for so long: on a busy machine one that is not given the processor.
STOPPED_MS = 900
# Where an attach has failed somebody waits for the error.
SHORTLY_STOPPED_MS = 200
CLOSED_S = 10.0


@pytest.fixture
def pausing() -> Iterator[Attacher]:
    """Attaches so that a target has time to fork while there is a link and no agent yet."""
    warm = Attacher([sys.executable, str(PAUSING_HELPER)])
    yield warm
    warm.close()


def attach_in_a_storm(interpreter: Interpreter, spawn: Spawn, attacher: Attacher, way: str, attaches: int) -> None:
    """Attaches and detaches while a program starts children, every second time recording calls."""
    program = spawn(interpreter, "storming", way, "error")
    for number in range(attaches):
        with attached(attacher, program.pid) as link:
            if number % 2:
                record_calls(link)
            detach(link)
    results = program.ask_json("results")
    assert (program.stderr(), results["unclean"]) == ("", 0)
    assert results["clean"] == results["started"] > attaches


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_child_forked_at_any_moment_has_nothing_of_ours(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    attach_in_a_storm(interpreter, spawn, attacher, "fork", ATTACHES)


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_an_agent_that_comes_to_a_child_before_its_hooks_is_not_taken_for_its_parents(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(interpreter, "lingering", str(LINGER_MS))
    with attached(attacher, program.pid) as link:
        record_calls(link)
        child = program.ask_json("fork")
        with attached(attacher, child) as own:
            record_calls(own)
            # By then the hooks have been called.
            time.sleep(2 * LINGER_MS / 1000)
            assert own.channel.request("snapshot", timeout_s=REQUEST_TIMEOUT_S, session="c1").bulk
            detach(own)
        detach(link)
    assert program.stderr() == ""


def of_execd(pid: int) -> list[str]:
    """The descriptors of a process that it can have from nobody else."""
    return [one for one in descriptors(pid) if "/memfd:execd:" in one or "socket:" in one]


def require_nothing_kept(program: Program) -> None:
    """Waits until its child and its child's child have nothing of ours."""
    for pid in program.ask_json("family"):
        assert becomes(lambda pid=pid: not of_execd(pid), CLOSED_S), of_execd(pid)


def test_a_child_of_the_first_instant_that_cannot_be_touched_yet_and_its_own_give_back_what_they_have(
    local_interpreter: Interpreter, spawn: Spawn, pausing: Attacher
) -> None:
    program = spawn(local_interpreter, "inheriting", str(STOPPED_MS))
    with attached(pausing, program.pid) as link:
        require_nothing_kept(program)
        detach(link)


def test_after_an_attach_that_came_to_nothing_children_have_nothing_of_ours(
    local_interpreter: Interpreter, spawn: Spawn, pausing: Attacher
) -> None:
    program = spawn(local_interpreter, "inheriting", str(SHORTLY_STOPPED_MS), "replaced")
    with pytest.raises(ExecdError, match="the program has replaced functions that all code uses: len"):
        attach(pausing, program.pid)
    require_nothing_kept(program)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", WAYS)
def test_children_of_every_kind_have_nothing_of_ours(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, way: str
) -> None:
    attach_in_a_storm(interpreter, spawn, attacher, way, SOAK_ATTACHES)
