"""What is told of recordings in time slices: by the tables of a core, in headers, sums and comparisons."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from call_trees import Node, header, tree
from core_tables import CLOCK_CPU, tables
from execd.attach.coretables import read_core
from execd.model.change import compare
from execd.model.merge import merge
from execd.model.profile import ROOT, Header, Profile
from execd.model.timeslices import slices_in, with_slices
from execd.reports import comparison
from execd.reports.options import ReportOptions

SLICED_AT, PAUSED_AT = 112, 168
FIRST_NS_AT, LATEST_NS_AT = 88, 104
SPAN_S = 10.0
S = 10**9


def spanning(seconds: float = SPAN_S) -> Header:
    return replace(header(), started_at=1000.0, ended_at=1000.0 + seconds)


def read(sliced_after_ns: int, recorded_ns: int, *, paused: int = 0, clock: int = 1) -> Profile:
    """A profile of tables whose time slices began so long after the recording, and were so long."""
    made = tables(3, clock=clock, native_id=7)
    (first_ns,) = struct.unpack_from("<Q", made, FIRST_NS_AT)
    struct.pack_into("<2Q", made, SLICED_AT, first_ns + sliced_after_ns, recorded_ns)
    struct.pack_into("<I", made, PAUSED_AT, paused)
    return read_core(bytes(made), spanning(), 1, {}, {7: 500})


def test_the_tables_tell_since_when_and_for_how_long() -> None:
    (told,) = slices_in(read(4 * S, S).header)
    assert (told.since, told.recorded_s, told.whole_s) == (1004.0, 1.0, 6.0)
    assert told.missed_s == 5.0
    assert told.caveat == (
        "recorded in time slices since 00:16:44 UTC, to keep within the overhead limit: 17% of the time "
        "(1.00 s of 6.0 s); counts and times from then on are of these slices alone"
    )
    assert read(4 * S, S).header.caveats[-1] == told.caveat


@pytest.mark.parametrize(("paused", "began_ns", "recorded_s"), [(0, 7 * S, 3.0), (1, 7 * S, 1.0), (0, 20 * S, 1.0)])
def test_a_slice_that_goes_on_counts_until_the_latest_instant(paused: int, began_ns: int, recorded_s: float) -> None:
    made = tables(3, native_id=7)
    (first_ns,) = struct.unpack_from("<Q", made, FIRST_NS_AT)
    struct.pack_into("<2Q", made, SLICED_AT, first_ns + 4 * S, S)
    struct.pack_into("<Q", made, LATEST_NS_AT, first_ns + 9 * S)
    struct.pack_into("<IxxxxQ", made, PAUSED_AT, paused, first_ns + began_ns)
    (told,) = slices_in(read_core(bytes(made), spanning(), 1, {}, {}).header)
    assert told.recorded_s == pytest.approx(recorded_s)


@pytest.mark.parametrize(("after_ns", "recorded_ns"), [(1 << 62, 1 << 63), (-S, 5), (0, (1 << 64) - 1), (20 * S, 0)])
def test_what_a_target_says_is_within_its_span(after_ns: int, recorded_ns: int) -> None:
    (told,) = slices_in(read(after_ns, recorded_ns).header)
    assert 0 <= told.recorded_s <= told.whole_s <= SPAN_S
    assert 1000.0 <= told.since <= 1000.0 + SPAN_S
    assert 0 <= told.share <= 1


def test_in_a_pause_what_is_open_has_its_time() -> None:
    figures = [read(S, S, paused=paused, clock=CLOCK_CPU).column("self_ns")[0] for paused in (0, 1)]
    assert figures == [30 + 500, 30]


def test_tables_without_slices_tell_of_none() -> None:
    profile = read_core(bytes(tables(3)), spanning(), 1, {}, {})
    assert slices_in(profile.header) == []
    assert profile.header.caveats == spanning().caveats


@pytest.mark.parametrize(
    "rows", ["x", [None], [{}], [{"since": 1, "recorded_s": 2, "whole_s": 1}], [{"since": float("nan"), "whole_s": 1}]]
)
def test_what_is_no_slices_is_left_out(rows: object) -> None:
    assert slices_in(replace(header(), extra={"time_slices": rows})) == []


def sliced_tree(session: str, recorded_s: float, calls: int) -> Profile:
    made = tree([Node(ROOT, "main", calls=calls, self_ns=calls)])
    own = replace(spanning(), session=session)
    return replace(made, header=with_slices(own, recorded_s, SPAN_S) if recorded_s else own)


def test_a_sum_has_those_of_all_its_parts() -> None:
    whole, first, second = sliced_tree("s1", 0, 5), sliced_tree("s2", 1.0, 5), sliced_tree("s3", 2.0, 5)
    found = merge([whole, first, second]).header
    assert [one.recorded_s for one in slices_in(found)] == [1.0, 2.0]
    assert sum("recorded in time slices since" in caveat for caveat in found.caveats) == 2
    assert slices_in(merge([whole, whole]).header) == []


def test_rates_are_of_the_time_that_was_recorded() -> None:
    whole, slices = sliced_tree("s1", 0, 1000), sliced_tree("s2", 1.0, 100)
    assert compare(whole, slices).changes == ()
    (change,) = compare(slices, sliced_tree("s3", 1.0, 200)).changes
    assert change.delta.calls == pytest.approx(100.0)


def test_a_comparison_tells_of_the_slices_of_both() -> None:
    texts = [
        comparison.render(earlier, later, ReportOptions()).decode()
        for earlier, later in (
            (sliced_tree("s1", 1.0, 5), sliced_tree("s2", 0, 7)),
            (sliced_tree("s1", 0, 5), sliced_tree("s2", 1.0, 7)),
            (sliced_tree("s1", 1.0, 5), sliced_tree("s2", 2.0, 7)),
        )
    ]
    assert [" ".join(text.split()).count("recorded in time slices since") for text in texts] == [1, 1, 2]
    assert "what this is compared with was recorded in time slices" in " ".join(texts[0].split())
