"""Samples as values: views, folds, slices, sums and differences, with figures that are known."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from execd.errors import UsageError
from execd.model.codec import decode, encode
from execd.model.collector import SAMPLES, STATES
from execd.model.filter import of_each_thread, threads, where
from execd.model.merge import merge
from execd.model.profile import check
from execd.model.sampled import figures_in
from execd.model.samples import Amount, By, amounts, edges, figures, fold, measures, standard_error, turned
from execd.model.shares import came_after, share_changes
from execd.model.slices import PART_OF, SLICE_S, between, has_slices, unsliced
from execd.model.views import View, has_states, states_of, usual_view, viewed, waits, without_system_calls
from execd.sampling.samples import STATES as SAMPLED
from sample_trees import EXTRA, INTERVAL_NS, STACKS, STARTED_AT, Stack, random_samples, samples

if TYPE_CHECKING:
    from execd.model.profile import Profile

PROFILE = samples()
STATE_NAMES = tuple(name for name, _ in STATES)


def by_name(profile: Profile, measure: str = "samples", by: By = By.FUNCTION) -> dict[str, Amount]:
    """Return what each place has, by its name and line."""
    found = amounts(fold(profile, by), measure)
    return {
        (f"{name}:{line}" if by is By.LINE and line else name or file): one for (file, line, name), one in found.items()
    }


def test_the_states_are_those_that_the_sampler_knows() -> None:
    assert STATE_NAMES == SAMPLED


@pytest.mark.parametrize(("view", "expected"), [(View.WALL, 100), (View.CPU, 40), (View.GIL, 31)])
def test_a_view_counts_its_samples_and_the_time_that_they_stand_for(view: View, expected: int) -> None:
    shown = check(viewed(PROFILE, view))
    assert sum(shown.column("samples")) == expected == sum(map(sum, (shown.column(name) for name in STATE_NAMES)))
    assert sum(shown.column("wall_ns")) == expected * INTERVAL_NS
    running = sum(shown.column("running_with_gil")) + sum(shown.column("running_without"))
    assert sum(shown.column("cpu_ns")) == running * INTERVAL_NS


def test_a_view_of_what_ran_has_no_stack_that_waited() -> None:
    shown = viewed(PROFILE, View.CPU)
    names = {shown.functions[shown.function_of(node)].name for node in range(len(shown.parents))}
    assert names == {"main", "serve", "work", "(unsettled)", "run", "fib", "compress"}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("by", list(By))
def test_what_places_have_themselves_adds_up_to_the_view(seed: int, view: View, by: By) -> None:
    profile = random_samples(seed)
    shown = viewed(profile, view)
    counted = {View.WALL: STATE_NAMES, View.CPU: STATE_NAMES[:2], View.GIL: STATE_NAMES[:3:2]}[view]
    whole = sum(sum(profile.column(name)) for name in counted)
    folded = without_system_calls(unsliced(shown))
    assert (
        sum(one.own for one in amounts(fold(folded, by), "samples").values()) == whole == sum(shown.column("samples"))
    )
    assert all(one.own <= one.total <= whole for one in amounts(fold(folded, by), "samples").values())
    assert sum(folded.column("wall_ns")) == whole * INTERVAL_NS


def test_the_view_where_none_is_asked_for_is_of_what_ran() -> None:
    idle = samples([Stack(("main:3",), (0, 0, 1, 2, 3))])
    bare = replace(PROFILE, columns=PROFILE.columns[: len(SAMPLES.columns)])
    assert [usual_view(one) for one in (PROFILE, idle, bare)] == [View.CPU, View.WALL, None]
    assert (has_states(bare), states_of(bare), measures(bare)) == (False, {}, ("samples", "wall_ns", "cpu_ns"))


def test_states_and_system_calls_are_of_all_samples() -> None:
    assert states_of(PROFILE) == dict(zip(STATE_NAMES, (30, 10, 1, 5, 54), strict=True))
    assert waits(PROFILE) == {"futex": 38, "epoll_wait": 13}
    assert waits(samples(STACKS[:2])) == {}


def test_a_system_call_is_of_the_function_that_made_it() -> None:
    assert by_name(PROFILE)["serve"] == Amount(3, 50)
    folded = check(without_system_calls(PROFILE))
    assert by_name(folded)["serve"] == Amount(16, 50)
    assert by_name(folded)["get"] == Amount(38, 38)
    assert not any("system call" in name for name in by_name(folded))
    assert states_of(folded) == states_of(PROFILE)


def test_a_system_call_of_no_function_stays() -> None:
    alone = samples([Stack(("(system call read)",), (0, 0, 0, 0, 4))])
    assert by_name(without_system_calls(alone)) == {"(system call read)": Amount(4, 4)}


def test_a_function_that_recurs_is_counted_once_in_all() -> None:
    assert by_name(PROFILE)["fib"] == Amount(4, 4)
    assert by_name(PROFILE)["main"] == Amount(0, 50)


def test_lines_and_files_are_put_together() -> None:
    lines = by_name(viewed(PROFILE, View.CPU), by=By.LINE)
    assert {name: lines[name].own for name in ("work:21", "work:22", "fib:31", "compress:40", "(unsettled)")} == {
        "work:21": 20,
        "work:22": 6,
        "fib:31": 4,
        "compress:40": 8,
        "(unsettled)": 2,
    }
    assert lines["serve:10"] == Amount(0, 26)
    assert by_name(without_system_calls(PROFILE), by=By.FILE) == {
        "/srv/shop/server.py": Amount(48, 100),
        "(unsettled)": Amount(2, 2),
        "/srv/app.py": Amount(50, 50),
    }


def test_callers_have_what_is_along_their_edge() -> None:
    folded = fold(PROFILE)
    callers = {
        callee[2]: {caller[2]: one for caller, one in those.items()}
        for callee, those in edges(folded, "samples").items()
    }
    assert callers["fib"] == {"run": Amount(2, 4), "fib": Amount(2, 2)}
    assert callers["main"] == {}
    callees = {caller[2]: {one[2] for one in those} for caller, those in turned(edges(folded, "samples")).items()}
    assert callees["run"] == {"fib", "compress", "get"}
    assert callees["work"] == set()


def test_the_error_of_a_share_is_that_of_a_count() -> None:
    assert standard_error(10, 100) == pytest.approx(0.03)
    assert (standard_error(0, 100), standard_error(100, 100), standard_error(0, 0)) == (0.0, 0.0, 0.0)


def sliced(*starts: int) -> Profile:
    """Return samples of the same stacks in slices that begin so long after the start; the second has a thread more."""
    stacks = [
        stack._replace(label=replace(stack.label, at_s=STARTED_AT + start))
        for place, start in enumerate(starts)
        for stack in (STACKS if place == 1 else STACKS[:5])
    ]
    return samples(stacks, started_at=STARTED_AT + 3.5, ended_at=STARTED_AT + max(starts) + 7.5)


def test_slices_add_up_where_no_time_is_asked_for() -> None:
    profile = sliced(0, 10, 20)
    whole = check(unsliced(profile))
    assert (has_slices(profile), has_slices(whole), len(whole.parents)) == (True, False, len(PROFILE.parents))
    assert sum(whole.column("samples")) == 200 == sum(profile.column("samples"))
    assert by_name(whole) == by_name(profile)
    assert whole.header == profile.header
    assert unsliced(PROFILE) is PROFILE


@pytest.mark.parametrize(
    ("span", "count", "covers"),
    [
        ((10, 20), 100, (10, 20)),
        ((12.5, 12.6), 100, (10, 20)),
        ((0, 10), 50, (3.5, 10)),
        ((9.9, 20.1), 200, (3.5, 27.5)),
        ((-1000, 1000), 200, (3.5, 27.5)),
        ((20, 21), 50, (20, 27.5)),
    ],
)
def test_the_slices_of_a_span_are_chosen_whole(
    span: tuple[float, float], count: int, covers: tuple[float, float]
) -> None:
    found = check(between(sliced(0, 10, 20), STARTED_AT + span[0], STARTED_AT + span[1]))
    assert sum(found.column("samples")) == count
    assert (found.header.started_at - STARTED_AT, found.header.ended_at - STARTED_AT) == covers
    assert found.header.extra[PART_OF] == [STARTED_AT + 3.5, STARTED_AT + 27.5]
    assert decode(encode(found)).header == found.header


def test_part_of_a_part_is_part_of_the_whole() -> None:
    part = between(between(sliced(0, 10, 20), STARTED_AT, STARTED_AT + 20), STARTED_AT, STARTED_AT + 1)
    assert part.header.extra[PART_OF] == [STARTED_AT + 3.5, STARTED_AT + 27.5]


def test_a_time_that_is_not_kept_is_refused_with_the_time_that_is() -> None:
    with pytest.raises(UsageError, match="nothing is kept from 2023-11-14 22:14:50 to 22:15:00 UTC") as refused:
        between(sliced(0, 10, 20), STARTED_AT + 90, STARTED_AT + 100)
    assert refused.value.remedy == "ask for a time that is kept: from 2023-11-14 22:13:20 to 22:13:50 UTC"
    with pytest.raises(UsageError, match="not recorded in slices") as refused:
        between(PROFILE, STARTED_AT, STARTED_AT + 1)
    assert refused.value.remedy.endswith("it was recorded from 2023-11-14 22:13:20 to 22:13:30 UTC")


def test_a_gap_between_slices_has_nothing() -> None:
    with pytest.raises(UsageError, match="nothing is kept"):
        between(sliced(0, 60), STARTED_AT + 20, STARTED_AT + 50)
    assert SLICE_S == 10


def test_a_sum_has_the_figures_of_its_recordings() -> None:
    other = samples(extra={**EXTRA, "achieved_hz": 99.2, "turns": 992, "stop_p99_us": 140.0}, session="s2", pid=4712)
    header = merge([PROFILE, other]).header
    assert {
        name: header.extra[name] for name in ("turns", "verified", "stopped", "rate_hz", "stop_p99_us", "stopping")
    } == {
        "turns": 2976,
        "verified": 2400,
        "stopped": 240,
        "rate_hz": 200.0,
        "stop_p99_us": 140.0,
        "stopping": "as needed",
    }
    # 1,984 turns in 10 s and 992 in 10 s.
    assert header.extra["achieved_hz"] == pytest.approx(148.8)
    found = figures_in(merge([merge([PROFILE, other]), PROFILE]).header)
    assert found is not None
    assert (found.verified, found.stop_p50_us) == (3600, 0.0)


def test_a_sum_with_a_part_that_tells_nothing_tells_nothing() -> None:
    assert figures_in(merge([PROFILE, samples(extra={}, session="s2")]).header) is None


def test_lost_threads_are_no_lost_samples() -> None:
    found = figures_in(samples(lost={"unread": 3, "torn": 1, "threads_left_out": 700}).header)
    assert found is not None
    assert found.lost == 4


def test_what_came_after_of_one_session_is_its_difference() -> None:
    later = samples([*STACKS, Stack(("main:3", "late:60"), (9, 0, 0, 0, 0))], ended_at=STARTED_AT + 30.0)
    found = came_after(PROFILE, later)
    assert found is not None
    assert by_name(found) == {"main": Amount(0, 9), "late": Amount(9, 9)}
    assert (found.header.started_at, found.header.ended_at) == (STARTED_AT + 10.0, STARTED_AT + 30.0)
    assert came_after(later, PROFILE) is None
    assert came_after(PROFILE, replace(later, header=replace(later.header, session="s2"))) is None


def test_files_that_were_imported_together_are_no_recording_that_goes_on() -> None:
    earlier, later = (samples(form="imported", ended_at=STARTED_AT + seconds) for seconds in (1.0, 2.0))
    assert came_after(earlier, later) is None


@pytest.mark.parametrize("seed", range(4))
def test_threads_are_taken_apart_at_once_as_one_by_one(seed: int) -> None:
    profile = random_samples(seed)
    found = of_each_thread(profile)
    assert list(found) == threads(profile)
    assert all(found[label] == where(profile, label.__eq__) for label in found)
    mixed = replace(profile, node_labels=array("i", (node % 3 for node in range(len(profile.parents)))))
    assert all(one == where(mixed, label.__eq__) for label, one in of_each_thread(mixed).items())


def test_what_came_after_of_slices_is_the_slices_after() -> None:
    earlier, later = sliced(0, 10), sliced(0, 10, 20, 30)
    found = came_after(earlier, later)
    assert found is not None
    assert {label.at_s - STARTED_AT for label in (found.labels[one] for one in set(found.node_labels))} == {10, 20, 30}
    assert found.header.started_at == STARTED_AT + 10


def test_shares_compare_whatever_the_length() -> None:
    half, whole = samples(STACKS), samples([*STACKS, *STACKS])
    assert share_changes(amounts(fold(half), "samples"), amounts(fold(whole), "samples")) == {}
    one = samples([Stack(("main:3", "old:9"), (1, 0, 0, 0, 0)), Stack(("main:3", "both:9"), (3, 0, 0, 0, 0))])
    two = samples([Stack(("main:3", "both:9"), (1, 0, 0, 0, 0)), Stack(("main:3", "young:9"), (1, 0, 0, 0, 0))])
    changes = share_changes(amounts(fold(one), "samples"), amounts(fold(two), "samples"))
    assert [(place[2], change.kind.value, change.own, change.total) for place, change in changes.items()] == [
        ("young", "new", 0.5, 0.5),
        ("both", "less", -0.25, -0.25),
        ("old", "gone", -0.25, -0.25),
    ]
    assert next(iter(changes.values())).error == pytest.approx(0.5 / 2**0.5)


def test_nothing_has_no_shares() -> None:
    nothing = samples([])
    assert share_changes(amounts(fold(nothing), "samples"), amounts(fold(nothing), "samples")) == {}
    assert (usual_view(nothing), figures(nothing), waits(nothing)) == (View.WALL, ("samples",), {})
