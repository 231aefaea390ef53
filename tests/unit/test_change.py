"""Comparisons of two call trees."""

from __future__ import annotations

from dataclasses import replace

import pytest
from call_trees import Node, header, tree
from execd.errors import UsageError
from execd.model.change import Comparison, Kind, compare
from execd.model.merge import merge
from execd.model.profile import IMPORTED, ROOT, Profile
from execd.reports import ReportOptions, render


def kinds(comparison: Comparison) -> dict[str, Kind]:
    """Return what became of each function, by name."""
    return {change.function[2]: change.kind for change in comparison.changes}


def test_functions_are_new_gone_more_or_less() -> None:
    earlier = tree([Node(ROOT, "gone"), Node(ROOT, "more", 1), Node(ROOT, "less", 5), Node(ROOT, "same", 2)])
    later = tree([Node(ROOT, "new"), Node(ROOT, "more", 2), Node(ROOT, "less", 4), Node(ROOT, "same", 2)])
    assert kinds(compare(earlier, later)) == {
        "new": Kind.NEW,
        "gone": Kind.GONE,
        "more": Kind.MORE,
        "less": Kind.LESS,
    }


def test_profiles_of_one_session_compare_as_what_happened_between() -> None:
    earlier = tree([Node(ROOT, "work", 10, 1_000)], ended_at=1_700_000_005.0)
    comparison = compare(earlier, tree([Node(ROOT, "work", 25, 4_000)]))
    (change,) = comparison.changes
    assert not comparison.per_second
    assert (change.delta.calls, change.delta.self_ns, change.delta.total_ns) == (15, 3_000, 3_000)


def test_profiles_of_two_sessions_compare_per_second() -> None:
    earlier = tree([Node(ROOT, "work", 10, 1_000)], ended_at=1_700_000_005.0, session="s1")
    comparison = compare(earlier, tree([Node(ROOT, "work", 10, 1_000)], session="s2"))
    (change,) = comparison.changes
    assert comparison.per_second
    assert (change.kind, change.earlier.calls, change.later.calls, change.delta.calls) == (
        Kind.LESS,
        2.0,
        1.0,
        -1.0,
    )


def spanning(started_at: float, ended_at: float, calls: int, session: str) -> Profile:
    """A profile of `work`, of so many seconds since the first one's start."""
    start = 1_700_000_000.0
    return tree(
        [Node(ROOT, "work", calls, 1_000)], started_at=start + started_at, ended_at=start + ended_at, session=session
    )


@pytest.mark.parametrize(
    ("spans", "per_second"),
    [
        (((0, 5), (1_000, 1_005)), 4.0),  # nothing was recorded between
        (((0, 10), (0, 10)), 4.0),  # two processes at once
        (((0, 10), (5, 12), (6, 7)), 5.0),
    ],
)
def test_a_sum_is_of_the_seconds_in_which_any_part_was_recorded(
    spans: tuple[tuple[float, float], ...], per_second: float
) -> None:
    whole = merge([spanning(*span, 20, f"s{n}") for n, span in enumerate(spans)])
    (change,) = compare(spanning(0, 10, 10, "s9"), whole).changes
    assert (change.earlier.calls, change.later.calls) == (1.0, per_second)


def test_a_sum_with_a_part_of_unknown_span_compares_as_it_is() -> None:
    recorded = spanning(0, 10, 10, "s9")
    file = replace(spanning(0, 0, 7, ""), header=header(form=IMPORTED, session=""))
    unnamed = replace(recorded, header=replace(recorded.header, session="s8", extra={"earlier_origins": 3}))
    for later, calls in ((merge([recorded, file]), 17), (unnamed, 10)):
        (change,) = compare(spanning(0, 5, 3, "s1"), later).changes
        assert (change.earlier.calls, change.later.calls) == (3, calls)
        assert "the figures as they are" in render(later, "text", ReportOptions(), spanning(0, 5, 3, "s1")).decode()


def test_imported_profiles_without_a_session_are_not_of_one() -> None:
    profile = tree([Node(ROOT, "work")], session="")
    assert compare(profile, profile).per_second


def test_equal_calls_leave_the_decision_to_the_time() -> None:
    comparison = compare(tree([Node(ROOT, "work", 1, 5)]), tree([Node(ROOT, "work", 1, 9)]))
    assert kinds(comparison) == {"work": Kind.MORE}


def test_nothing_changed_is_an_empty_comparison() -> None:
    profile = tree([Node(ROOT, "work", 1, 5)])
    assert compare(profile, profile).changes == ()


def test_the_largest_change_of_self_time_comes_first_in_its_kind() -> None:
    later = tree([Node(ROOT, "small", 9, 1), Node(ROOT, "large", 1, 9)])
    assert list(kinds(compare(tree([]), later))) == ["large", "small"]


def test_rates_of_a_profile_without_a_span_are_refused() -> None:
    empty = tree([], session="s2", ended_at=1_700_000_000.0)
    with pytest.raises(UsageError, match="no time"):
        compare(empty, tree([]))
