"""What recording cost, taken off a call tree: by kind of event, never more than there is, and nothing else."""

from __future__ import annotations

import json
from array import array
from dataclasses import replace
from typing import Any

import pytest
from call_trees import Node, random_tree, tree
from execd.errors import UsageError
from execd.model import bias
from execd.model.bias import Correction, EventCosts, chosen, corrected, correction_of, with_event_columns
from execd.model.codec import decode, encode
from execd.model.fold import by_function
from execd.model.merge import merge
from execd.model.profile import ROOT, Column, Profile
from execd.model.summed import summed
from execd.model.tree import subtree_sums
from execd.reports import ReportOptions, View, render
from hypothesis import given
from hypothesis import strategies as st

COSTS = EventCosts(100.0, 10.0, 50.0, 5.0, 1.0)
MEASURED = {
    "python_inside_ns": 100,
    "python_outside_ns": 10,
    "c_inside_ns": 50,
    "c_outside_ns": 5,
    "uncounted_ns": 1,
}
TIMED = {
    "python_inside_timed_ns": 50,
    "python_outside_timed_ns": 5,
    "c_inside_timed_ns": 10,
    "c_outside_timed_ns": 2,
}
NONE = ((0, 0),)
SMALL = [
    Node(ROOT, "main", 0, 10_000, 1),
    Node(0, "outer", 2, 5_000),
    Node(1, "inner", 10, 3_000),
    Node(1, "<built-in method builtins.len>", 20, 1_500),
    Node(1, "tiny", 10, 7),
]


def with_uncounted(profile: Profile, values: list[int]) -> Profile:
    """The profile with so many events of no counted call in each node."""
    return replace(profile, columns=(*profile.columns, Column("uncounted", "count", array("q", values))))


def small(**extra: Any) -> Profile:
    """A tree of which every figure is known."""
    return with_uncounted(tree(SMALL, extra=extra), [0, 100, 0, 0, 0])


def own_times(profile: Profile) -> list[int]:
    """The own time of each node."""
    return list(profile.column("self_ns"))


def text(profile: Profile, **settings: object) -> str:
    """The text report, unbroken."""
    return " ".join(render(profile, "text", ReportOptions(settings=settings)).decode().split())


def test_each_event_is_taken_off_where_its_cost_was() -> None:
    taken_off_outer = 2 * 100 + 100 * 1 + 10 * 10 + 20 * 5 + 10 * 10
    assert own_times(corrected(small(), COSTS)) == [
        10_000 - 2 * 10,
        5_000 - taken_off_outer,
        3_000 - 10 * 100,
        1_500 - 20 * 50,
        0,  # there was less than its events are taken to cost, and the rest goes nowhere
    ]


def test_what_was_recorded_and_what_was_taken_off_are_told() -> None:
    profile = corrected(small(), COSTS)
    taken_ns = 19_507 - sum(own_times(profile))
    # Nothing was timed, so that all of it is by the price of a row.
    assert correction_of(profile.header) == Correction(19_507, taken_ns, in_rows_ns=taken_ns)
    assert correction_of(small().header) is None


@given(st.integers(0, 1 << 32), st.tuples(*[st.floats(0, 10**9)] * 5))
def test_no_time_is_negative_and_totals_lose_what_their_subtrees_lose(seed: int, ns: tuple[float, ...]) -> None:
    before = random_tree(seed, size=60)
    after = corrected(before, EventCosts(*ns))
    lost = [old - new for old, new in zip(own_times(before), own_times(after), strict=True)]
    assert min(own_times(after)) >= 0
    assert min(lost) >= 0
    found = correction_of(after.header)
    assert found is not None
    assert found.taken_ns == sum(lost)
    assert found.recorded_ns - found.taken_ns == sum(own_times(after))
    totals = [subtree_sums(before.parents, own_times(one)) for one in (before, after)]
    losses = subtree_sums(before.parents, lost)
    assert [old - new for old, new in zip(*totals, strict=True)] == losses


@given(st.integers(0, 1 << 32))
def test_calls_stay_as_they_are_and_nothing_costs_nothing(seed: int) -> None:
    before = random_tree(seed, size=60)
    after = corrected(before, COSTS)
    calls = [{name: row.figures.calls for name, row in by_function(one).items()} for one in (before, after)]
    assert calls[0] == calls[1]
    assert corrected(before, None) is before
    assert own_times(corrected(before, EventCosts(0.0, 0.0))) == own_times(before)


def timed(*of_nodes: tuple[int, int], **extra: Any) -> Profile:
    """The small tree of which so many handlers of each node were timed, and took so many ns."""
    profile = small(**MEASURED, **TIMED, **extra)
    counts, ns = zip(*of_nodes, strict=True)
    added = (Column("timed", "count", array("q", counts)), Column("timed_ns", "ns", array("q", ns)))
    return replace(profile, columns=(*profile.columns, *added))


def in_rows(profile: Profile) -> list[int]:
    """What the price of a row leaves of the own times."""
    return own_times(corrected(profile, COSTS))


def test_a_node_whose_events_took_longer_than_in_a_row_has_a_higher_price() -> None:
    # Of inner 20 events took twice as long: its price of 10 x 100 is 2,000 of its 3,000.
    after = own_times(corrected(profile := timed(*2 * NONE, (20, 20 * 2 * 50), *2 * NONE), chosen(profile.header)))
    assert after == [*in_rows(profile)[:2], 3_000 - 2_000, *in_rows(profile)[3:]]


def test_what_is_usual_is_told_by_the_kinds_of_events_in_a_node() -> None:
    # Outer has two calls of its own, ten of inner and ten of tiny below it, and twenty of len.
    usual_ns = (2 * 50 + 20 * 5 + 20 * 2) / 42
    after = own_times(
        corrected(profile := timed((0, 0), (42, round(42 * usual_ns * 1.5)), *3 * NONE), chosen(profile.header))
    )
    taken = 5_000 - in_rows(profile)[1]
    assert after[1] == 5_000 - taken - taken // 2


def test_of_what_the_price_of_a_row_leaves_half_stays_at_least() -> None:
    profile = timed(*5 * [(1_000, 10**9)])
    after = own_times(corrected(profile, chosen(profile.header)))
    assert after == [left - left // 2 for left in in_rows(profile)]


def test_events_that_took_less_than_in_a_row_cost_what_they_do_there() -> None:
    profile = timed(*5 * [(100, 100)])
    assert own_times(corrected(profile, chosen(profile.header))) == in_rows(profile)


def test_few_timed_events_say_something_together_alone() -> None:
    # Of inner and len 10 each: alone too few, together enough; in rows they take 50 and 10 ns.
    together = timed((0, 0), (0, 0), (10, 10 * 100), (10, 10 * 20), (0, 0))
    after = own_times(corrected(together, chosen(together.header)))
    assert after[2:4] == [3_000 - 2 * 1_000, 1_500 - 1_000 - 250]
    alone = timed((0, 0), (0, 0), (10, 10 * 100), (9, 9 * 20), (0, 0))
    assert own_times(corrected(alone, chosen(alone.header))) == in_rows(alone)


def test_timed_events_count_for_the_measured_price_alone() -> None:
    profile = timed(*5 * [(1_000, 1_000_000)])
    assert own_times(corrected(profile, chosen(profile.header, 1e-7))) == own_times(
        corrected(small(), chosen(profile.header, 1e-7))
    )


@given(st.integers(0, 1 << 32), st.integers(0, 10**6), st.integers(0, 10**9))
def test_a_node_never_loses_more_than_half_of_what_the_price_of_a_row_leaves(seed: int, count: int, ns: int) -> None:
    before = with_event_columns(random_tree(seed, size=60))
    columns = [
        replace(one, values=array("q", [{"timed": count, "timed_ns": ns}[one.name]] * len(before.parents)))
        if one.name.startswith("timed")
        else one
        for one in before.columns
    ]
    after = own_times(corrected(replace(before, columns=tuple(columns)), replace(COSTS, **TIMED)))
    cheap = own_times(corrected(before, COSTS))
    assert all(0 <= left <= row and 2 * left >= row for left, row in zip(after, cheap, strict=True))


def test_both_prices_are_told() -> None:
    profile = timed(*2 * NONE, (20, 20 * 2 * 50), *2 * NONE)
    header = corrected(profile, chosen(profile.header)).header
    found = correction_of(header)
    assert found is not None
    assert found.taken_ns == found.in_rows_ns + 1_000
    assert f"; events cost {found.taken_ns / found.in_rows_ns:.1f} times as much as in a row of them; --bias 0" in text(
        profile
    )
    assert "times as much" not in text(small(**MEASURED))


def test_a_sum_has_the_prices_of_its_parts_and_is_dearer_only_where_all_were_timed() -> None:
    part = timed(*5 * [(20, 20 * 2 * 50)])
    other = replace(part, header=replace(part.header, session="s2"))
    whole = merge([part, other])
    assert chosen(whole.header) == replace(COSTS, **TIMED)
    assert own_of(corrected(whole, chosen(whole.header)), "inner") == 2 * own_of(
        corrected(part, chosen(part.header)), "inner"
    )
    older = merge([part, dearer(1)])
    assert chosen(older.header) == COSTS
    assert list(older.column("timed")) == [20] * 5


def test_a_correction_is_made_once() -> None:
    once = corrected(small(), COSTS)
    assert corrected(once, COSTS) is once


def test_the_figures_that_are_stored_are_those_that_were_recorded() -> None:
    profile = small(**MEASURED)
    stored = decode(encode(profile))
    assert "Times:" in text(stored)
    assert own_times(stored) == own_times(profile)


def test_auto_takes_what_was_measured_and_a_number_the_same_of_each_event() -> None:
    header = small(**MEASURED).header
    assert chosen(header) == chosen(header, "auto") == COSTS
    assert chosen(header, 2e-7) == EventCosts(200.0, 200.0, 200.0, 200.0, 200.0)
    assert chosen(header, 0) is None
    assert chosen(small().header) is None


def test_a_session_says_what_is_taken_where_the_report_does_not() -> None:
    header = replace(small(**MEASURED).header, options={"bias": 0.0})
    assert chosen(header) is None
    assert chosen(header, "auto") == COSTS
    assert chosen(replace(header, options={"bias": 1e-9})) == EventCosts(1.0, 1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("asked", [-1e-9, 1.5, "much", True, [], float("nan")])
def test_what_is_no_bias_is_refused(asked: object) -> None:
    with pytest.raises(UsageError, match="it is auto, or"):
        chosen(small().header, asked)


def test_auto_is_refused_where_nothing_was_measured() -> None:
    with pytest.raises(UsageError, match="was not measured"):
        chosen(small().header, "auto")


@pytest.mark.parametrize("value", [-1, "100", True, [100], 1e10, float("inf"), float("nan")])
def test_costs_that_no_agent_of_ours_measures_are_none(value: object) -> None:
    assert chosen(small(**{**MEASURED, "c_inside_ns": value}).header) is None


def test_a_report_shows_corrected_times_and_the_recorded_ones_for_a_bias_of_0() -> None:
    profile = small(**MEASURED)
    taken = 19_507 - sum(own_times(corrected(profile, COSTS)))
    told = text(profile)
    assert f"Times: {(19_507 - taken) / 1000:.3f} us: {taken / 1000:.3f} us that recording took is taken off" in told
    assert "the 19.507 us recorded" in told
    assert "4.400 us" not in text(profile, bias=0)
    assert "Times:" not in text(profile, bias=0)
    assert "Times:" not in text(small())


def test_json_is_corrected_and_formats_of_other_tools_only_where_it_is_asked_for() -> None:
    profile = small(**MEASURED)
    document = json.loads(render(profile, "json", ReportOptions()))
    assert document["profile"]["extra"]["correction"]["recorded_ns"] == 19_507
    assert document["totals"]["self_ns"] == sum(own_times(corrected(profile, COSTS)))
    raw, asked = (render(profile, "collapsed", ReportOptions(settings=settings)) for settings in ({}, {"bias": "auto"}))
    assert raw == render(small(), "collapsed", ReportOptions())
    assert asked == render(corrected(profile, COSTS), "collapsed", ReportOptions())


def test_both_sides_of_a_comparison_are_corrected() -> None:
    earlier = small(**MEASURED)
    more = [node._replace(calls=2 * node.calls, self_ns=2 * node.self_ns) for node in SMALL]
    later = with_uncounted(tree(more, extra=MEASURED), [0, 200, 0, 0, 0])
    changes = json.loads(render(later, "json", ReportOptions(), earlier))["changes"]
    inner = next(one for one in changes if one["name"] == "inner")
    assert (inner["earlier"]["self_ns"], inner["delta"]["self_ns"]) == (2_000, 2_000)


def test_profiles_of_one_session_compare_by_one_price() -> None:
    earlier = small(**MEASURED)
    dearer = {name: 2 * value for name, value in MEASURED.items()}
    later = with_uncounted(tree(SMALL, extra=dearer), [0, 100, 0, 0, 0])
    assert json.loads(render(later, "json", ReportOptions(), earlier))["changes"] == []
    other = replace(later, header=replace(later.header, session="s2"))
    assert json.loads(render(other, "json", ReportOptions(), earlier))["changes"] != []


def test_timed_events_of_one_session_count_as_the_later_profile_has_them() -> None:
    # The same calls, and what was timed since says that they cost less: nothing has run back.
    earlier, later = timed(*5 * [(20, 20 * 80)]), timed(*5 * [(40, 40 * 60)])
    assert own_times(corrected(earlier, chosen(earlier.header))) != own_times(corrected(later, chosen(later.header)))
    assert json.loads(render(later, "json", ReportOptions(), earlier))["changes"] == []
    other = replace(later, header=replace(later.header, session="s2"))
    assert json.loads(render(other, "json", ReportOptions(), earlier))["changes"] != []


def test_what_the_later_profile_does_not_have_costs_what_it_does_in_a_row() -> None:
    later = timed(*5 * [(1_000, 10**9)])
    recursive = [*SMALL, Node(4, "tiny", 10, 5_000), Node(ROOT, "gone", 10, 5_000)]
    earlier = with_event_columns(tree(recursive, extra={**MEASURED, **TIMED}))
    after = own_times(corrected(earlier, chosen(later.header), later))
    assert after[5:] == [5_000 - 10 * 100] * 2
    assert after[2] == 1_000  # half of what the price of a row leaves


def test_a_sum_loses_what_its_parts_lose() -> None:
    other = small(**{name: 3 * value for name, value in MEASURED.items()})
    parts = [small(**MEASURED), replace(other, header=replace(other.header, session="s2"))]
    whole = corrected(merge(parts), chosen(merge(parts).header))
    # But where there was less than that: the sum has some.
    assert chosen(merge(parts).header) == EventCosts(200.0, 20.0, 100.0, 10.0, 2.0)
    for name in ("main", "outer", "inner"):
        assert own_of(whole, name) == sum(own_of(corrected(one, chosen(one.header)), name) for one in parts)


def dearer(factor: float, session: str = "s2") -> Profile:
    """The small tree of another session, in which an event cost so many times as much."""
    profile = small(**{name: value * factor for name, value in MEASURED.items()})
    return replace(profile, header=replace(profile.header, session=session))


def test_a_report_of_a_sum_is_the_sum_of_what_is_reported_of_each_part() -> None:
    # Of the dear one nearly all is taken off, and more than it has is not.
    parts = [dearer(0.1, "s1"), dearer(4)]
    whole = json.loads(render(merge(parts), "json", ReportOptions(), None, parts))
    each = [json.loads(render(part, "json", ReportOptions())) for part in parts]
    assert whole["totals"]["self_ns"] == sum(one["totals"]["self_ns"] for one in each)
    for key in ("self_ns", "total_ns"):
        for name in ("main", "outer", "inner", "tiny", "<built-in method builtins.len>"):
            found = [one[key] for document in each for one in document["functions"] if one["name"] == name]
            assert [one[key] for one in whole["functions"] if one["name"] == name] == [sum(found)]
    told = [document["profile"]["extra"]["correction"] for document in (whole, *each)]
    for key in ("recorded_ns", "taken_ns"):
        assert told[0][key] == sum(one[key] for one in told[1:])
    assert told[0]["recorded_ns"] - told[0]["taken_ns"] == whole["totals"]["self_ns"]
    as_whole = json.loads(render(merge(parts), "json", ReportOptions()))
    assert as_whole["totals"]["self_ns"] != whole["totals"]["self_ns"]


def test_of_a_sum_the_parts_that_were_not_measured_stay_as_recorded_and_are_counted() -> None:
    parts = [dearer(1), tree(SMALL)]
    report = " ".join(render(merge(parts), "text", ReportOptions(), None, parts).decode().split())
    left = sum(own_times(corrected(parts[0], COSTS))) + sum(own_times(parts[1]))
    assert f"Times: {left / 1000:.3f} us:" in report
    assert "of one of its parts nothing is taken off: what an event cost there was not measured" in report


def test_a_time_of_which_all_is_taken_off_is_no_plain_0() -> None:
    report = render(small(**MEASURED), "text", ReportOptions()).decode()
    (row,) = [line.split() for line in report.splitlines() if " tiny " in line]
    assert row[0] == "~0"
    assert "~0: all of the time that was recorded is taken off" in report
    callers = render(small(**MEASURED), "text", ReportOptions(view=View.CALLERS)).decode()
    assert " ~0 " in next(line for line in callers.splitlines() if " tiny " in line)
    assert "~0: all of" in callers
    raw = render(small(**MEASURED), "text", ReportOptions(settings={"bias": 0})).decode()
    assert "~0" not in raw
    document = json.loads(render(small(**MEASURED), "json", ReportOptions()))
    assert next(one["self_ns"] for one in document["functions"] if one["name"] == "tiny") == 0


def own_of(profile: Profile, name: str) -> int:
    """The own time of a function."""
    return next(row.figures.self_ns for key, row in by_function(profile).items() if key[2] == name)


def test_a_sum_of_which_a_part_was_not_measured_is_left_as_it_was_recorded() -> None:
    whole = merge([small(**MEASURED), tree(SMALL)])
    assert chosen(whole.header) is None
    # An older part has no such events, and adds up all the same.
    assert list(whole.column("uncounted")) == [0, 100, 0, 0, 0]


def test_what_was_summed_already_is_left_as_it_is() -> None:
    profile = summed(small(**MEASURED))
    assert corrected(profile, COSTS) is profile
    assert bias.costs_of_sum([profile, small(**MEASURED)]) == {}


def test_a_report_tells_of_another_clock() -> None:
    assert "Clock: CPU time of each thread" in text(tree(SMALL, options={"clock": "cpu"}))
    timed = tree(SMALL, options={"timer": "app:\x1b[31mticks", "timeunit": 1e-6})
    assert "Clock: the program's app:\\x1b[31mticks, 1e-06 s each, called at each event" in text(timed)


def test_a_report_of_3_11_tells_what_is_not_corrected() -> None:
    assert "Caveat: Python 3.11 runs bytecode 2 to 3 times slower" in text(small(**MEASURED))
    of_3_12 = small(**MEASURED)
    of_3_12 = replace(of_3_12, header=replace(of_3_12.header, python_version="3.12.1"))
    assert "bytecode" not in text(of_3_12)
