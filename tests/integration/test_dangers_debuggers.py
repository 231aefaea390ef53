"""Debuggers and profilers of the target's own, before an attach, within it and across its end: both stay right."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from agent_drivers import by_name
from attachments import attached, detach, record_calls, stop_calls
from execd.errors import CollectorRefused
from footprint import becomes, footprint, settled, thread_ids

if TYPE_CHECKING:
    from conftest import Spawn
    from execd.attach.attacher import Attacher
    from execd.model.profile import Profile
    from interpreters import Interpreter
    from programs import Program

VERSIONS = ("3.9", "3.12", "3.15")
TRIES = 20
SETTLE_S = 3.0
# Of one pass, as workload.CALLS has it.
FIBONACCI_CALLS = 177
# What a tool and an attach do, in which order: "attach" records, "detach" ends that.
ORDERS = {
    "first": ("on", "attach", "work 1", "detach", "work 1", "off"),
    "within": ("attach", "on", "work 1", "off", "detach", "work 1"),
    "across": ("attach", "on", "work 1", "detach", "work 1", "off"),
}
# Of the tools, those that came with 3.12.
NEW = {"coverage"}
TOOLS = ("cprofile", "tracer", "listener", "bdb", "coverage", "faulthandler", "tracemalloc")
TAKEN = "the target replaced its profile function|the profile function was taken out"
REFUSED = "a profiler written in C"


class Ours(NamedTuple):
    """What comes of our side: all of the pass counts, or a caveat, or a refusal."""

    caveat: str = ""
    refusal: str = ""


def ours(interpreter: Interpreter, tool: str, order: str) -> Ours:
    """What is to come of a tool beside us: below 3.12 a thread has one profile function."""
    if interpreter.version_info >= (3, 12) or tool not in ("cprofile", "listener"):
        return Ours()
    if order == "first":
        return Ours(refusal=REFUSED) if tool == "cprofile" else Ours()
    return Ours(caveat=TAKEN)


def run(program: Program, tool: str, steps: tuple[str, ...]) -> list[object]:
    """Does the steps of a program's own, and returns the answers to those that tell what a tool found."""
    answers = [(step, program.ask_json(f"{tool}-{step}" if step in ("on", "off") else step)) for step in steps]
    return [answer for step, answer in answers if step == "off"]


def pair(interpreter: Interpreter, spawn: Spawn, tool: str) -> tuple[Program, Program]:
    """A program that nobody attaches to, and one beside whose tool we shall be."""
    if tool in NEW and interpreter.version_info < (3, 12):
        pytest.skip("this version has no sys.monitoring")
    alone, program = spawn(interpreter, "debugged"), spawn(interpreter, "debugged")
    for one in (alone, program):
        # The first pass may load what later ones need.
        one.ask("work 1")
    return alone, program


def beside(attacher: Attacher, alone: Program, program: Program, tool: str, order: str) -> None:
    """Attaches beside a tool; what it finds is what it finds without us, and ours is right or says what it lacks."""
    steps, expected = ORDERS[order], ours(program.interpreter, tool, order)
    start, end = steps.index("attach"), steps.index("detach")
    found = run(program, tool, steps[:start])
    before = footprint(program.pid)
    with attached(attacher, program.pid) as link:
        if expected.refusal:
            with pytest.raises(CollectorRefused, match=expected.refusal):
                record_calls(link)
        else:
            record_calls(link)
        found += run(program, tool, steps[start + 1 : end])
        if not expected.refusal:
            require_right(stop_calls(link), expected)
        detach(link)
    # Not the signals that they catch, which are the tools' affair.
    assert becomes(lambda: thread_ids(program.pid) == list(before.threads), SETTLE_S)
    found += run(program, tool, steps[end + 1 :])
    assert found == run(alone, tool, tuple(step for step in steps if step not in ("attach", "detach")))
    assert str(found) != "[[]]"
    assert program.stderr() == ""


def require_right(profile: Profile, expected: Ours) -> None:
    """Fails where what we recorded is neither right nor said not to be."""
    caveats = "; ".join(profile.header.caveats)
    if expected.caveat:
        assert any(part in caveats for part in expected.caveat.split("|")), caveats
    else:
        assert caveats == ""
        assert by_name(profile)["fibonacci"].calls == FIBONACCI_CALLS


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_tool_of_the_targets_own_finds_what_it_finds_without_us(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, tool: str
) -> None:
    alone, program = pair(interpreter, spawn, tool)
    for order in ORDERS:
        beside(attacher, alone, program, tool, order)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_of_the_targets_own_finds_the_same_each_time(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, tool: str, order: str
) -> None:
    alone, program = pair(interpreter, spawn, tool)
    for _ in range(TRIES):
        beside(attacher, alone, program, tool, order)


@pytest.mark.parametrize("interpreter", ["3.12", "3.15"], indirect=True)
def test_with_every_monitoring_id_taken_it_is_refused_with_their_names(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(interpreter, "debugged")
    program.ask("take-ids")
    owners, before = program.ask_json("ids"), footprint(program.pid)
    with attached(attacher, program.pid) as link:
        with pytest.raises(CollectorRefused, match=r"tool-3 \(3\) and tool-4 \(4\) are in use"):
            record_calls(link)
        detach(link)
    assert settled(program.pid, before) == before
    assert program.ask_json("ids") == owners
    assert program.stderr() == ""
