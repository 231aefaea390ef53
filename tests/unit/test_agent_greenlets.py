"""Greenlets: each call is counted once, and stands below the one that made it, whatever switches when."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from agent_drivers import Counts, by_name, paths, profile_of
from execd.model.profile import ROOT
from judged import packages

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from execd.model.profile import Profile
    from interpreters import Interpreter

WORKERS, TIMES = 6, 40
EACH = WORKERS // 2 * TIMES
# Of depths 0 to 3 in turn.
DEEP = EACH * (1 + 2 + 3 + 4) // 4


@pytest.fixture(params=["python", "native"])
def drivers(drivers: Drivers, request: pytest.FixtureRequest) -> Drivers:
    """Drivers whose calls are recorded in either form: what is recorded is the same."""
    return drivers.in_form(request.param)


def callers(profile: Profile, name: str) -> dict[str, int]:
    """How often each function called one."""
    found: Counter[str] = Counter()
    for node, parent in enumerate(profile.parents):
        if profile.functions[profile.function_of(node)].name == name:
            caller = "" if parent == ROOT else profile.functions[profile.function_of(parent)].name
            found[caller] += profile.column("calls")[node]
    return dict(+found)


def time_of_greenlets(profile: Profile) -> int:
    """The time of all stacks but the driver's: its last return may be told when the recording is over."""
    return sum(ns for path, ns in paths(profile, "self_ns").items() if "stop" not in path)


def check_workers(profile: Profile) -> None:
    found = by_name(profile)
    # What is recursive counts once a greenlet, not once a thread.
    assert found["deep"] == Counts(DEEP, EACH)
    assert (found["below_worker"].calls, found["below_other"].calls) == (WORKERS // 2, WORKERS // 2)
    assert callers(profile, "deep") == {"below_worker": EACH, "deep": DEEP - EACH}
    assert callers(profile, "switch") == {"deep": EACH, "below_other": EACH, "<lambda>": EACH}
    assert callers(profile, "<lambda>") == {"<built-in method builtins.sorted>": EACH}
    assert callers(profile, "<built-in method builtins.sorted>") == {"below_other": EACH}


def test_calls_of_greenlets_stand_where_they_were_made(drivers: Drivers, interpreter: Interpreter) -> None:
    folder = packages(interpreter, "greenlet")
    result = drivers.run(interpreter, "switching_stacks", folder, "greenlets", WORKERS, TIMES)
    profile = profile_of(result["table"])
    check_workers(profile)
    # One switch begins each, and one goes on after each of its own.
    resumed = WORKERS + EACH + 2 * EACH
    assert callers(profile, "hubs_own") == {"action": resumed}
    assert callers(profile, "leaf") == {"below_worker": 2 * EACH, "below_other": 2 * EACH, "hubs_own": resumed}
    assert 0 < time_of_greenlets(profile) <= result["span_ns"]
    assert result["caveats"] == []
    # What events cost is measured beside greenlets too.
    assert profile.header.extra["python_inside_ns"] > 0


def test_calls_of_gevents_greenlets_stand_where_they_were_made(drivers: Drivers, interpreter: Interpreter) -> None:
    folder = packages(interpreter, "gevent")
    result = drivers.run(interpreter, "switching_stacks", folder, "of_gevent", WORKERS, TIMES)
    assert result["value"] == WORKERS
    profile = profile_of(result["table"])
    check_workers(profile)
    assert callers(profile, "leaf") == {"below_worker": 2 * EACH, "below_other": 2 * EACH}
    assert 0 < time_of_greenlets(profile) <= result["span_ns"]


def test_without_c_functions_each_call_of_greenlets_is_counted_once(drivers: Drivers, interpreter: Interpreter) -> None:
    folder = packages(interpreter, "greenlet")
    result = drivers.run(interpreter, "switching_stacks", folder, "greenlets", WORKERS, TIMES, 0)
    profile = profile_of(result["table"])
    found = by_name(profile)
    assert found["deep"] == Counts(DEEP, EACH)
    assert set(callers(profile, "leaf")) == {"below_worker", "below_other", "hubs_own"}
    assert found["switch"].calls == 3 * EACH
    assert found["leaf"].calls == 4 * EACH + found["hubs_own"].calls
