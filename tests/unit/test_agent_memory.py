"""The memory collector under every interpreter: its figures are tracemalloc's of the same instant."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from agent_drivers import PID
from call_trees import header
from execd.attach.table import read_table
from execd.model.memory.blocks import BlockFilter, blocks_of, filtered
from execd.model.memory.statistics import By, differences, statistics
from execd.reports.lines.source_lines import SourceLines
from execd.reports.memory.comparison import difference_text
from execd.reports.memory.options import MemoryOptions
from execd.reports.memory.text import statistic_lines, traceback_lines
from execd.reports.options import ReportOptions

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from execd.model.memory.blocks import Blocks
    from execd.model.profile import Profile
    from interpreters import Interpreter

VERSIONS = ("3.9", "3.12", "3.15")
FRAMES = 4
SIZE = 3_000_000


def memory_profile(table: str) -> Profile:
    return read_table(base64.b64decode(table), replace(header(), collector="memory"), PID)


def chosen(profile: Profile, row: dict[str, Any]) -> list[Blocks]:
    rules = [BlockFilter(inclusive, pattern, line, row["all_frames"]) for inclusive, pattern, line in row["filter"]]
    return filtered(blocks_of(profile), rules)


@pytest.fixture(scope="module")
def result(drivers: Drivers, interpreter: Interpreter) -> Any:
    return drivers.run(interpreter, "tracing_memory", "statistics", FRAMES)


@pytest.fixture(scope="module")
def answers(drivers: Drivers, interpreter: Interpreter) -> Any:
    return drivers.run(interpreter, "tracing_memory", "answers", FRAMES)


def test_statistics_and_their_order_are_those_of_tracemalloc(result: Any) -> None:
    earlier, later = map(memory_profile, result["tables"])
    plain = MemoryOptions()
    sources = SourceLines(later, ReportOptions())
    for row in result["oracle"]["all"]:
        by, cumulative = By(row["by"]), row["cumulative"]
        blocks, before = chosen(later, row), chosen(earlier, row)
        found = statistics(blocks, by, cumulative=cumulative)
        assert [line for one in found for line in statistic_lines(one, plain, sources)] == row["statistics"], row
        changes = differences(before, blocks, by, cumulative=cumulative)
        assert list(map(difference_text, changes)) == row["changes"], row
    assert max(len(row["statistics"]) for row in result["oracle"]["all"]) > 10


def test_a_domain_alone_and_the_frames_of_tracebacks(result: Any) -> None:
    later = memory_profile(result["tables"][1])
    plain = MemoryOptions()
    sources = SourceLines(later, ReportOptions())
    found = statistics(filtered(blocks_of(later), [], 389047), By.LINENO)
    assert [statistic_lines(one, plain, sources)[0] for one in found] == result["oracle"]["domain"]
    assert len(found) == 1
    stacks = statistics(blocks_of(later), By.TRACEBACK)
    for one, expected in zip(stacks, result["oracle"]["tracebacks"], strict=True):
        ways = (MemoryOptions(), MemoryOptions(frames=2), MemoryOptions(most_recent_first=True))
        # The oracle adds the text of files that exist.
        shown = [[line for line in lines if line.startswith("  File")] for lines in expected]
        assert [traceback_lines(one.place, way, sources) for way in ways] == shown
    assert any(len(one.place) == FRAMES for one in stacks)


def test_it_stops_what_it_started(result: Any) -> None:
    assert (result["is_tracing"], result["limit"], result["caveats"]) == (False, FRAMES, [])
    extra = memory_profile(result["tables"][0]).header.extra
    assert extra["traceback_limit"] == FRAMES
    assert extra["joined"] == 0
    assert isinstance(extra["traced_bytes"], int)
    assert extra["traced_bytes"] >= 5000


def test_a_program_that_traces_is_joined_and_left_tracing(answers: Any) -> None:
    result = answers["joining"]
    assert result["is_tracing"] is True
    assert "traces its memory itself, 4 frames" in result["caveats"][0]
    assert "the program's own" in result["refused"]
    assert result["figures"]["joined"] == 1
    blocks = blocks_of(memory_profile(result["table"]))
    assert sum(one.count for one in blocks if one.newest[0] == "/srv/app.py") == result["count"] > result["kept"]


def test_snapshots_leave_no_peak_of_their_own(answers: Any) -> None:
    result = answers["figures"]
    before, after, reset, cleared = result["told"]
    assert before["peak_bytes"] >= SIZE
    assert before["peak_bytes"] == after["peak_bytes"]
    assert after["traced_bytes"] < SIZE // 10
    assert reset["peak_bytes"] < SIZE // 10
    assert cleared["traced_bytes"] < reset["traced_bytes"]
    assert result["is_tracing"] is False


def test_where_objects_lie(answers: Any) -> None:
    result = answers["where"]
    largest, one = result["largest"], result["one"]
    # What was there before the tracing is larger, and tells nothing of where.
    assert (largest["count"], largest["untraced"], largest["unseen"]) == (7, 1, 0)
    assert largest["bytes"] > result["early"] + result["size"]
    first, second = largest["objects"]
    assert first["bytes"] > 70_000
    assert (first["type"], second["type"]) == ("builtins.bytearray", "builtins.bytearray")
    assert second["frames"][0] == ["/srv/app.py", 2]
    assert (one["count"], one["bytes"]) == (1, result["size"])
    assert one["objects"][0]["type"] == "builtins.bytearray"
    assert one["objects"][0]["is_traced"] is True
    # An object whose attributes lie in front of it (3.11 and newer).
    assert [frame[0] for frame in result["plain"]["objects"][0]["frames"]] == ["/srv/app.py"]
    assert len(result["refused"]) == 3


def test_what_does_not_fit_is_counted(answers: Any) -> None:
    unlisted, cut = map(memory_profile, answers["over_the_limit"]["tables"])
    assert blocks_of(unlisted) == []
    (lost,) = unlisted.header.lost.values()
    # An estimate, by what tracemalloc's own tables take.
    assert 4_000 < lost < 20_000
    assert any("--max-memory" in caveat for caveat in unlisted.header.caveats)
    # What lists nothing holds nothing up.
    assert unlisted.header.extra["expected_pause_ns"] == 0 != cut.header.extra["expected_pause_ns"]
    blocks = blocks_of(cut)
    assert 1_000 < len(blocks) < 4_000
    assert cut.header.lost["blocks over the memory limit"] > 1_000
    assert max(one.size for one in blocks) >= 3_999


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_block_of_many_takes_no_longer_than_one_of_few(drivers: Drivers, interpreter: Interpreter) -> None:
    few_ns, many_ns = drivers.run(interpreter, "tracing_memory", "paces", 20_000, 200_000)
    assert many_ns <= 3 * few_ns


def test_stopping_beside_threads_without_the_gil_ends_no_program(answers: Any) -> None:
    result = answers["stops"]
    assert result["tracing"] == [True, False] * 15
    assert result["ref_tracer"] is False
    assert result["found"] >= result["kept"]
    assert result["limit"] == 3


@pytest.mark.soak
def test_hundreds_of_stops_beside_such_threads(drivers: Drivers, interpreter: Interpreter) -> None:
    assert drivers.run(interpreter, "tracing_memory", "stops", 300)["tracing"] == [True, False] * 300
