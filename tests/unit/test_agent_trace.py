"""The trace collector under every interpreter: its lines are those of `trace --trace`, and none is lost unsaid."""

from __future__ import annotations

import base64
import linecache
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from call_trees import header
from execd.attach.table import TABLE_BYTES, read_table
from execd.model.collector import TraceKind
from execd.reports.trace.text import rows
from execd.reports.trace.wording import Wording
from execd.sessions.stream.feed import Feed
from traces import PID

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from execd.model.profile import Profile
    from interpreters import Interpreter

WORKS = ("loops", "generators", "recursion", "exceptions", "classes")
SOURCE = Path(__file__).parents[1] / "targets/traced_work.py"
# What the drivers themselves do while they are traced.
OWN_FILES = ("measuring.py", "tracing.py", "trace.py", "threading.py")
BUDGET_BYTES = 80_000


def received(result: dict[str, Any]) -> Profile:
    """What a session has heard of when all that a driver handed over has come."""
    feed = Feed({}, PID)
    feed.open("s1", 0.0)
    for table in result["tables"]:
        feed.accept(base64.b64decode(table), PID, TABLE_BYTES)
    return feed.profile("s1", header())


def printed(profile: Profile) -> list[str]:
    """The text of the events of the known work, the source read from here."""
    wording = Wording(profile.functions, profile.locations, lambda _file, line: linecache.getline(str(SOURCE), line))
    functions = [profile.functions[profile.function_of(node)] for node in range(len(profile.parents))]
    texts = zip(functions, wording.texts(rows(profile)), strict=True)
    return [text for function, text in texts if not function.file.endswith(OWN_FILES)]


def normalised(text: str) -> list[str]:
    """What `trace` printed, in one wording for all versions: some write a second blank after the colon.

    The source is indented by multiples of four.
    """
    lines = [
        re.sub(r"^(\S+\(\d+\)):( +)", lambda match: f"{match[1]}: {' ' * ((len(match[2]) - 1) // 4 * 4)}", line)
        for line in text.splitlines()
    ]
    return [line for line in lines if not line.startswith(OWN_FILES) and "modulename: trace," not in line]


def total(profile: Profile) -> tuple[int, int]:
    """How many events are there, and how many are marked as lost."""
    kinds = profile.column("kind").tolist()
    return len(kinds) - kinds.count(TraceKind.LOST), sum(profile.column("lost"))


@pytest.mark.parametrize("work", range(len(WORKS)), ids=WORKS)
def test_lines_and_calls_are_those_that_trace_prints(drivers: Drivers, interpreter: Interpreter, work: int) -> None:
    result = drivers.run(interpreter, "tracing", "one_work", work)
    expected = normalised(result["printed"])
    assert f" --- modulename: traced_work, funcname: {WORKS[work]}" in expected
    assert printed(received(result)) == expected


def test_a_pattern_chooses_functions_by_their_qualified_name(drivers: Drivers, interpreter: Interpreter) -> None:
    profile = received(drivers.run(interpreter, "tracing", "filtered"))
    has_qualnames = interpreter.version_info >= (3, 11)
    # The name of the lambda, which is within `meta`, says so.
    expected = {"method", "meta", "<lambda>"} if has_qualnames else set()
    assert {one.name for one in profile.functions[1:]} == expected


def test_one_thread_is_chosen_by_its_name(drivers: Drivers, interpreter: Interpreter) -> None:
    profile = received(drivers.run(interpreter, "tracing", "one_thread"))
    assert "loops" in {one.name for one in profile.functions}
    assert {label.thread_name for label in profile.labels} == {"wanted"}


def test_what_does_not_fit_is_counted_where_it_is_missing(drivers: Drivers, interpreter: Interpreter) -> None:
    steps = 2000
    profile = received(drivers.run(interpreter, "tracing", "overflowing", steps, BUDGET_BYTES))
    kept, lost = total(profile)
    assert kept + lost == 2 * 4 * steps
    marks = [node for node, kind in enumerate(profile.column("kind")) if kind == TraceKind.LOST]
    assert len(marks) == 2
    assert marks[-1] == len(profile.parents) - 1
    assert 0 < marks[0] < marks[1]


def test_what_is_taken_too_early_waits_unless_somebody_asks_for_it(drivers: Drivers, interpreter: Interpreter) -> None:
    steps = 5000
    result = drivers.run(interpreter, "tracing", "paced", steps)
    told = replace(header(), collector="trace")
    taken = [len(read_table(base64.b64decode(table), told, PID).parents) for table in result["tables"]]
    # What nobody said has come is given again.
    assert taken == [4 * steps, 0, 8 * steps, 8 * steps]
    assert total(received(result)) == (12 * steps, 0)


def test_after_as_many_events_as_asked_for_there_are_no_more(drivers: Drivers, interpreter: Interpreter) -> None:
    assert total(received(drivers.run(interpreter, "tracing", "limited", 101))) == (101, 0)
