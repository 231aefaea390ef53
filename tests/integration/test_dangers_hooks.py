"""Targets that take our hooks off, or set their own over them, while they are recorded: what they set is what stays."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import pytest
from agent_drivers import by_name
from attachments import attached, detach, record_calls, stop_calls
from footprint import footprint, settled

if TYPE_CHECKING:
    from conftest import Spawn
    from execd.attach.attacher import Attacher
    from interpreters import Interpreter

VERSIONS = ("3.9", "3.12", "3.15")
OLDEST, NEWEST = (3, 9), (3, 15)
PROFILE_FUNCTIONS, MONITORING = (OLDEST, (3, 11)), ((3, 12), NEWEST)
# Of one pass, as workload.CALLS has it.
FIBONACCI_CALLS = 177
TRIES = 20


class Expected(NamedTuple):
    """What comes of an action: in which versions it can be done, how many passes of two count, the caveat.

    `heard` is what the program's own hook is told of beside what it would be told of without us.
    """

    versions: tuple[tuple[int, int], tuple[int, int]]
    passes: int
    caveat: str
    heard: int = 0


ALL = (OLDEST, NEWEST)
GOES_ON = Expected(ALL, 2, "")
ACTIONS = {
    "no-profile": [Expected(PROFILE_FUNCTIONS, 1, "was taken out"), Expected(MONITORING, 2, "")],
    "own-profile": [Expected(PROFILE_FUNCTIONS, 1, "replaced its profile function"), Expected(MONITORING, 2, "")],
    "no-threading-profile": [GOES_ON],
    "own-threading-profile": [GOES_ON],
    "own-trace": [GOES_ON],
    # Before 3.14 an id that is given back keeps its callbacks and its events.
    "free-tools": [
        Expected(((3, 12), (3, 13)), 2, "gave back the monitoring id"),
        Expected(((3, 14), NEWEST), 1, "gave back the monitoring id"),
    ],
    "take-tools": [Expected(MONITORING, 1, "took over the monitoring id")],
    "no-events": [Expected(MONITORING, 1, "changed the monitoring events")],
    "own-callback": [Expected(MONITORING, 1, "replaced a monitoring callback", FIBONACCI_CALLS)],
    "own-collector-callbacks": [GOES_ON],
    "own-filters": [GOES_ON],
    "one-more-filter": [GOES_ON],
    "no-exit-functions": [GOES_ON],
    "own-fork-hook": [GOES_ON],
}
# All those that hinder nothing, one after the other.
HARMLESS = " ".join(action for action, expected in ACTIONS.items() if expected == [GOES_ON])


def expectation(interpreter: Interpreter, action: str) -> Expected | None:
    """What comes of an action in a version, None where it cannot be done there."""
    fitting = [
        one for one in ACTIONS.get(action, [GOES_ON]) if one.versions[0] <= interpreter.version_info <= one.versions[1]
    ]
    return fitting[0] if fitting else None


def rehook(interpreter: Interpreter, spawn: Spawn, attacher: Attacher, action: str) -> None:
    """Lets a target do an action between two passes; what it is left with is what it would have without us."""
    expected = expectation(interpreter, action)
    if expected is None:
        pytest.skip("this version has no such hooks")
    alone, program = spawn(interpreter, "rehooking"), spawn(interpreter, "rehooking")
    for one in (alone, program):
        # The first pass may load what later ones need.
        one.ask("work 1")
    before = footprint(program.pid)
    with attached(attacher, program.pid) as link:
        record_calls(link)
        for one in (alone, program):
            one.ask("work 1")
            assert all(map(one.ask_json, action.split()))
            one.ask("work 1")
            assert one.ask_json("fork") == 0
        profile = stop_calls(link)
        detach(link)
    assert settled(program.pid, before) == before
    assert program.ask_json("hooks") == alone.ask_json("hooks")
    assert program.ask_json("heard") == alone.ask_json("heard") + expected.heard
    caveats = "; ".join(profile.header.caveats)
    assert re.search(expected.caveat, caveats) if expected.caveat else caveats == ""
    assert by_name(profile)["run"].calls == expected.passes
    assert (alone.stderr(), program.stderr()) == ("", "")


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("action", ACTIONS)
def test_whatever_the_target_does_to_its_hooks_stays_each_time(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, action: str
) -> None:
    for _ in range(TRIES):
        rehook(interpreter, spawn, attacher, action)


@pytest.mark.parametrize("action", [HARMLESS, *(action for action in ACTIONS if ACTIONS[action] != [GOES_ON])])
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_what_the_target_did_to_its_hooks_meanwhile_stays(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, action: str
) -> None:
    rehook(interpreter, spawn, attacher, action)
