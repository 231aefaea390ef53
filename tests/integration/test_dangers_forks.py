"""Forks at any moment of an attach: the children have nothing of ours in them, and nothing is said."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from attachments import REQUEST_TIMEOUT_S, attached, detach, record_calls

if TYPE_CHECKING:
    from conftest import Spawn
    from execd.attach.attacher import Attacher
    from interpreters import Interpreter

VERSIONS = ("3.9", "3.12", "3.15")
WAYS = ("fork", "subprocess", "multiprocessing", "forkserver")
# An attach takes tens of milliseconds, a fork about one: each is hit by some.
ATTACHES = 8
SOAK_ATTACHES = 100
LINGER_MS = 400


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


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", WAYS)
def test_children_of_every_kind_have_nothing_of_ours(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, way: str
) -> None:
    attach_in_a_storm(interpreter, spawn, attacher, way, SOAK_ATTACHES)
