"""Targets that close our descriptors, or put their own files in the place, while they are recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attachments import REQUEST_TIMEOUT_S, attached, detach, record_calls
from execd.attach.attacher import Attacher
from execd.errors import TargetGone
from footprint import Footprint, becomes, descriptors, footprint, settled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Spawn
    from interpreters import Interpreter
    from programs import Program

VERSIONS = ("3.9", "3.12", "3.15")
TRIES = 20
OFF_S = 1.0
SLACK = 3
DEAD_MAN_S = 1
HOOKS = ("tools", "profile", "filters", "switch_interval_s", "os_threads")


@pytest.fixture(scope="module")
def impatient() -> Iterator[Attacher]:
    """Attaches agents that soon take a silent daemon for dead."""
    warm = Attacher(dead_man_s=DEAD_MAN_S)
    warm.start()
    yield warm
    warm.close()


def close_each(program: Program, ours: list[int]) -> None:
    """One by one."""
    for number in ours:
        assert program.ask_json(f"close {number}")


def close_all(program: Program, _ours: list[int]) -> None:
    """By their range."""
    assert program.ask_json("close-all")


def take_over(program: Program, ours: list[int]) -> None:
    """By files of the program's own."""
    for number in ours:
        assert program.ask_json(f"over {number}")


def close_all_and_take_over(program: Program, ours: list[int]) -> None:
    """Both."""
    close_all(program, ours)
    take_over(program, ours)


WAYS: dict[str, Callable[[Program, list[int]], None]] = {
    "one by one": close_each,
    "all": close_all,
    "taken over": take_over,
    "all, then taken over": close_all_and_take_over,
}


def hooks(program: Program) -> list[object]:
    """What of ours could be on in a target, as it sees it."""
    state = program.ask_json("state")
    return [state[name] for name in HOOKS]


def numbers_since(pid: int, before: Footprint) -> list[int]:
    """The descriptors that a target did not have before."""
    return [int(one.split()[0]) for one in descriptors(pid) if one not in before.descriptors]


def lose(interpreter: Interpreter, spawn: Spawn, attacher: Attacher, way: str, *, asked: bool) -> None:
    """Lets a target close what is ours; where nobody asks the agent anything then, its dead-man switch ends it."""
    program = spawn(interpreter, "closing")
    program.ask("work 1")
    before, hooks_before = footprint(program.pid), hooks(program)
    with attached(attacher, program.pid) as link:
        record_calls(link)
        ours = numbers_since(program.pid, before)
        assert len(ours) == 2
        WAYS[way](program, ours)
        if asked:
            with pytest.raises(TargetGone):
                link.channel.request("ping", timeout_s=REQUEST_TIMEOUT_S)
        limit_s = OFF_S if asked else OFF_S + DEAD_MAN_S
        assert becomes(lambda: footprint(program.pid).threads == before.threads, SLACK * limit_s)
    assert hooks(program) == hooks_before
    assert program.ask_json("touched") == []
    require_as_new(attacher, program)


def require_as_new(attacher: Attacher, program: Program) -> None:
    """Fails where the next attach does not work, or leaves anything."""
    before = footprint(program.pid)
    with attached(attacher, program.pid) as link:
        record_calls(link)
        program.ask("work 1")
        detach(link)
    assert settled(program.pid, before) == before
    assert program.ask_json("touched") == []
    assert program.stderr() == ""


@pytest.mark.parametrize("way", ["one by one", "all, then taken over"])
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_target_that_closes_our_descriptors_ends_the_session_at_the_next_word(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, way: str
) -> None:
    lose(interpreter, spawn, attacher, way, asked=True)


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_target_that_takes_our_descriptors_over_is_left_by_the_dead_man_rule(
    interpreter: Interpreter, spawn: Spawn, impatient: Attacher
) -> None:
    lose(interpreter, spawn, impatient, "taken over", asked=False)


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_target_that_closes_the_marker_alone_is_recorded_on(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(interpreter, "closing")
    before = footprint(program.pid)
    with attached(attacher, program.pid) as link:
        record_calls(link)
        (marker,) = [one for one in descriptors(program.pid) if "/memfd:execd:" in one]
        take_over(program, [int(marker.split()[0])])
        program.ask("work 1")
        assert link.channel.request("stop", timeout_s=REQUEST_TIMEOUT_S, session="c1").bulk
        detach(link)
    assert becomes(lambda: footprint(program.pid).threads == before.threads, SLACK * OFF_S)
    assert program.ask_json("touched") == []
    assert program.stderr() == ""


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("asked", [True, False], ids=["asked", "silent"])
@pytest.mark.parametrize("way", WAYS)
def test_a_target_that_closes_our_descriptors_is_left_alone_each_time(
    interpreter: Interpreter, spawn: Spawn, impatient: Attacher, way: str, *, asked: bool
) -> None:
    for _ in range(TRIES):
        lose(interpreter, spawn, impatient, way, asked=asked)
