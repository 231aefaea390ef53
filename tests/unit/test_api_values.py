"""Profiles as values of the Python API: what the standard library's own objects tell of the same."""

from __future__ import annotations

import cProfile
import json
import marshal
import pickle
import pstats
import trace
import tracemalloc
from typing import TYPE_CHECKING, Any

import execctl
import pytest
from call_trees import header
from execctl.api.reading import read_profile
from execctl.query import ReportQuery
from execd.imports.files import profiles_of
from execd.reports import ReportOptions, render

if TYPE_CHECKING:
    from execctl.api.memory import By

NAMED = ("/srv/a.py", "a", "f")
COUNTS: dict[tuple[str, int], int] = {("/srv/a.py", 1): 2, ("/srv/é.py", 7): 1 << 40}
FUNCTIONS: dict[Any, int] = {NAMED: 1, ("/srv/b.py", "b", "C.m"): 1}
CALLERS: dict[Any, int] = {(NAMED, ("/srv/b.py", "b", "C.m")): 1}
TRACES = [
    (0, 100, (("/srv/app.py", 3), ("/srv/main.py", 9)), 2),
    (0, 100, (("/srv/app.py", 3), ("/srv/main.py", 9)), 2),
    (0, 33, (("/srv/app.py", 3), ("/srv/app.py", 3), ("/srv/main.py", 9)), 3),
    (0, 50, (("/srv/app.pyc", 3),), 7),
    (389047, 7, (("/srv/ümlaut.py", 1),), 1),
    (0, 9, (("<unknown>", 0),), 1),
]
EARLIER = [*TRACES[1:4], (0, 5000, (("/srv/gone.py", 4),), 1)]
FILTERS: tuple[list[tracemalloc.BaseFilter], ...] = (
    [],
    [tracemalloc.Filter(True, "*/app.py")],
    [tracemalloc.Filter(True, "*/main.py", all_frames=True), tracemalloc.Filter(True, "/srv/ü*")],
    [tracemalloc.Filter(False, "*/app.py", lineno=3), tracemalloc.Filter(False, "<unknown>")],
    [tracemalloc.DomainFilter(True, 389047)],
    [tracemalloc.DomainFilter(False, 389047), tracemalloc.Filter(True, "*.py", domain=0)],
)


class Nobody:
    """Renders nothing: a value needs nobody."""

    def render(self, query: ReportQuery) -> execctl.Rendering:
        """Fail."""
        raise AssertionError(query)


def rendered(data: bytes) -> execctl.Rendering:
    return execctl.Rendering(data, "p1", ())


def values(data: bytes, form: str) -> list[execctl.Profile]:
    """What is made of a file of another tool by way of the daemon's JSON."""
    found = profiles_of(data, form, header())
    query = ReportQuery("p1", "whole")
    return [read_profile(rendered(render(one, "whole", ReportOptions())), query, Nobody()) for one in found]


def memory(traces: Any = TRACES) -> execctl.MemoryProfile:
    (found,) = values(pickle.dumps(tracemalloc.Snapshot(traces, 4)), "tracemalloc")
    assert isinstance(found, execctl.MemoryProfile)
    return found


def frames(traceback: tracemalloc.Traceback) -> list[tuple[str, int]]:
    return [(frame.filename, frame.lineno) for frame in traceback]


def own_frames(traceback: tuple[execctl.Frame, ...]) -> list[tuple[str, int]]:
    return [(frame.filename, frame.lineno) for frame in traceback]


GROUPS: list[tuple[By, bool]] = [
    ("filename", False),
    ("filename", True),
    ("lineno", False),
    ("lineno", True),
    ("traceback", False),
]


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize(("by", "cumulative"), GROUPS)
def test_statistics_of_memory_are_those_of_tracemalloc(
    by: By, filters: list[tracemalloc.BaseFilter], *, cumulative: bool
) -> None:
    theirs = tracemalloc.Snapshot(TRACES, 4).filter_traces(filters).statistics(by, cumulative)
    ours = memory().filtered(filters).statistics(by, cumulative=cumulative)
    assert [(own_frames(one.traceback), one.size_bytes, one.count) for one in ours] == [
        (frames(one.traceback), one.size, one.count) for one in theirs
    ]


@pytest.mark.parametrize(("by", "cumulative"), GROUPS)
def test_differences_of_memory_are_those_of_tracemalloc(by: By, *, cumulative: bool) -> None:
    theirs = tracemalloc.Snapshot(TRACES, 4).compare_to(tracemalloc.Snapshot(EARLIER, 4), by, cumulative)
    ours = memory().compare_to(memory(EARLIER), by, cumulative=cumulative)
    assert [
        (own_frames(one.traceback), one.size_bytes, one.size_diff_bytes, one.count, one.count_diff) for one in ours
    ] == [(frames(one.traceback), one.size, one.size_diff, one.count, one.count_diff) for one in theirs]


def test_a_snapshot_of_memory_has_the_blocks_that_it_was_made_of() -> None:
    snapshot = memory().to_tracemalloc()
    assert sorted((one.domain, one.size, tuple(frames(one.traceback))) for one in snapshot.traces) == sorted(
        (one.domain, one.size, tuple(frames(one.traceback))) for one in tracemalloc.Snapshot(TRACES, 4).traces
    )
    assert snapshot.traceback_limit == 4
    assert {one.total_nframe for one in memory().traces} == {1, 2, 3, 7}


def test_what_cannot_be_asked_of_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="not by traceback"):
        memory().statistics("traceback", cumulative=True)
    with pytest.raises(ValueError, match="'line'"):
        memory().statistics("line")  # type: ignore[arg-type]


def fib(number: int) -> int:
    return number if number < 2 else fib(number - 1) + fib(number - 2)


def recorded_calls() -> Any:
    profiler = cProfile.Profile()
    profiler.runcall(lambda: sorted([fib(9), fib(4), len("x")]))
    profiler.create_stats()
    return profiler.stats  # type: ignore[attr-defined]


def test_calls_are_those_that_pstats_has() -> None:
    recorded = recorded_calls()
    (profile,) = values(marshal.dumps(recorded), "pstats")
    assert isinstance(profile, execctl.CallProfile)
    ours: Any = profile.to_pstats()
    assert as_counts(ours.stats) == as_counts(recorded)
    assert ours.total_tt == pytest.approx(sum(row[2] for row in recorded.values()))
    (found,) = profile.named("fib")
    assert (found.calls, found.primitive_calls) == (118, 2)
    assert found.callers[found.name].calls == found.callees[found.name].calls == 116


def as_counts(stats: Any) -> dict[Any, Any]:
    """The counts of statistics, and their times in microseconds."""
    return {
        key: (
            *row[:2],
            *(round(part * 1e6) for part in row[2:4]),
            {name: (*part[:2], *(round(one * 1e6) for one in part[2:])) for name, part in row[4].items()},
        )
        for key, row in stats.items()
    }


def test_a_function_is_written_as_pstats_writes_it() -> None:
    for name in (("~", 0, "<built-in method builtins.len>"), ("a.py", 3, "f"), ("~", 0, "odd")):
        assert str(execctl.FunctionName(*name)) == pstats.func_std_string(name)  # type: ignore[attr-defined]


def test_an_empty_profile_of_calls_is_none_for_pstats() -> None:
    (whole,) = profiles_of(marshal.dumps(recorded_calls()), "pstats", header())
    raw = json.loads(render(whole, "whole", ReportOptions()))
    empty = read_profile(rendered(json.dumps({**raw, "functions": []}).encode()), ReportQuery("p1", "whole"), Nobody())
    assert isinstance(empty, execctl.CallProfile)
    with pytest.raises(execctl.errors.UsageError, match="nothing was recorded"):
        empty.to_pstats()


def test_lines_functions_and_callers_are_those_of_trace() -> None:
    lines, functions, callers = values(pickle.dumps((COUNTS, FUNCTIONS, CALLERS)), "trace-counts")
    assert isinstance(lines, execctl.LineProfile)
    assert isinstance(functions, execctl.FunctionsProfile)
    assert isinstance(callers, execctl.CallersProfile)
    assert lines.to_trace().counts == COUNTS == lines.counts
    assert functions.to_trace().calledfuncs == FUNCTIONS
    assert callers.to_trace().callers == CALLERS
    summed = trace.CoverageResults()
    for one in (lines, functions, callers, lines):
        summed.update(one.to_trace())
    assert summed.counts == {key: 2 * count for key, count in COUNTS.items()}
    assert (summed.calledfuncs, summed.callers) == (FUNCTIONS, CALLERS)


def test_samples_are_read() -> None:
    (profile,) = values(b"main;work;sleep 3\nmain;work 4\n", "collapsed")
    assert isinstance(profile, execctl.SamplesProfile)
    assert {one.name.name: (one.own["samples"], one.total["samples"]) for one in profile.functions} == {
        "main": (0, 7),
        "work": (4, 7),
        "sleep": (3, 3),
    }


def test_a_profile_is_a_value() -> None:
    assert memory() == memory()
    assert memory() != memory(EARLIER)
    with pytest.raises(AttributeError):
        memory().traces = ()  # type: ignore[misc]


def test_a_report_that_is_not_known_is_told_as_such() -> None:
    raw = {"report": "flame", "profile": {}}
    with pytest.raises(execctl.errors.DaemonTooOld, match="flame"):
        read_profile(rendered(json.dumps(raw).encode()), ReportQuery("p1", "whole"), Nobody())
