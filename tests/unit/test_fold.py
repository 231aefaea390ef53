"""Folds of the call tree, held against cProfile and against a replay of its rules."""

from __future__ import annotations

import cProfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from call_trees import MAIN, Node, function, random_tree, recorded, tree
from execd.errors import ProfileCorrupt, UsageError
from execd.model.filter import by_thread, strip_dirs, threads
from execd.model.fold import FunctionKey, FunctionRow, by_function, callees, totals
from execd.model.fold import strip_dirs as strip_rows
from execd.model.merge import merge
from execd.model.profile import ROOT, Function, Label, Profile
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator


def key(name: str) -> FunctionKey:
    """Return the key of a function of a tree made by hand."""
    one = function(name)
    return one.file, one.first_line, one.name


def row(profile: Profile, name: str) -> FunctionRow:
    """Return the row of a function of a tree made by hand."""
    return by_function(profile)[key(name)]


def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def even(n: int) -> bool:
    return n == 0 or odd(n - 1)


def odd(n: int) -> bool:
    return n != 0 and even(n - 1)


def numbers(n: int) -> Iterator[int]:
    yield from range(n)


def failing(depth: int) -> None:
    if depth:
        failing(depth - 1)
    int("no number")


def workload() -> None:
    """Recursion, mutual recursion, generators, callbacks from C, exceptions."""
    fib(9)
    even(7)
    sorted(numbers(9), key=lambda number: -fib(number % 4))
    [len(str(number)) for number in numbers(5)]
    for _ in range(3):
        with suppress(ValueError):
            failing(4)


def test_counts_and_callers_equal_those_of_cprofile() -> None:
    profiler = cProfile.Profile()
    profiler.runcall(workload)
    profiler.create_stats()
    expected: dict[Any, Any] = profiler.stats  # type: ignore[attr-defined]
    disabled = next(one for one in expected if "disable" in one[2])
    del expected[disabled]

    rows = by_function(recorded(workload))

    assert {one: (r.figures.primitive_calls, r.figures.calls) for one, r in rows.items()} == {
        one: figures[:2] for one, figures in expected.items()
    }
    for one, r in rows.items():
        assert {c: (p.calls, p.primitive_calls) for c, p in r.callers.items()} == {
            caller: figures[:2] for caller, figures in expected[one][4].items()
        }


def test_total_time_of_recursion_is_counted_once() -> None:
    profile = tree([Node(ROOT, "fib", 1, 10), Node(0, "fib", 2, 20), Node(1, "fib", 4, 40)])
    figures = row(profile, "fib").figures
    assert (figures.calls, figures.primitive_calls, figures.self_ns, figures.total_ns) == (7, 1, 70, 70)


def test_callers_of_mutual_recursion_count_the_outermost_pair() -> None:
    profile = tree([Node(ROOT, "a", 1, 1), Node(0, "b", 1, 2), Node(1, "a", 1, 4), Node(2, "b", 1, 8)])
    part = row(profile, "b").callers[key("a")]
    assert (part.calls, part.primitive_calls, part.self_ns, part.total_ns) == (2, 1, 10, 14)
    part = row(profile, "a").callers[key("b")]
    assert (part.calls, part.primitive_calls, part.self_ns, part.total_ns) == (1, 1, 4, 12)


def test_frames_open_at_the_start_carry_time_and_no_call() -> None:
    profile = tree([Node(ROOT, "main", 0, 5, open=1), Node(0, "work", 3, 7)])
    figures = row(profile, "main").figures
    assert (figures.calls, figures.primitive_calls, figures.open, figures.total_ns) == (0, 0, 1, 12)
    assert row(profile, "work").callers[key("main")].calls == 3


def test_functions_of_equal_file_line_and_name_are_one() -> None:
    twins = [Function("<lambda>", f"{outer}.<lambda>", "a.py", 3) for outer in "ab"]
    profile = tree([Node(ROOT, twins[0], 1, 1), Node(0, twins[1], 1, 2)])
    (merged,) = by_function(profile).values()
    assert (merged.figures.calls, merged.figures.primitive_calls, merged.figures.total_ns) == (2, 1, 3)


@st.composite
def activations(draw: st.DrawFn) -> list[Node]:
    """Trees of which every node is one activation."""
    size = draw(st.integers(1, 30))
    return [
        Node(draw(st.integers(ROOT, place - 1)), draw(st.sampled_from("abcd")), 1, draw(st.integers(0, 99)))
        for place in range(size)
    ]


@given(activations())
def test_the_fold_equals_a_replay_of_the_rules_of_lsprof(nodes: list[Node]) -> None:
    children: dict[int, list[int]] = {}
    for place, node in enumerate(nodes):
        children.setdefault(node.parent, []).append(place)
    # What Stop() in Modules/_lsprof.c does, with a level for each entry and each sub-entry.
    level: Counter[Any] = Counter()
    sums: dict[Any, list[int]] = {}

    def activate(place: int, caller: str) -> int:
        name = str(nodes[place].function)
        entries = [name, (caller, name)] if caller else [name]
        level.update(entries)
        total = nodes[place].self_ns + sum(activate(child, name) for child in children.get(place, []))
        level.subtract(entries)
        for entry in entries:
            figures = sums.setdefault(entry, [0, 0, 0, 0])
            figures[0] += 1
            figures[2] += nodes[place].self_ns
            if level[entry] == 0:
                figures[1] += 1
                figures[3] += total
        return total

    for place in children[ROOT]:
        activate(place, "")
    found: dict[Any, list[int]] = {}
    for one, folded in by_function(tree(nodes)).items():
        f = folded.figures
        found[one[2]] = [f.calls, f.primitive_calls, f.self_ns, f.total_ns]
        for caller, p in folded.callers.items():
            found[caller[2], one[2]] = [p.calls, p.primitive_calls, p.self_ns, p.total_ns]
    assert found == sums


def test_the_fold_is_linear_in_the_depth() -> None:
    """100,000 nodes in chains 6,000 deep: 0.3 s on two cores, here with slack for a busy machine."""
    nodes = [Node(ROOT if n % 6_000 == 0 else n - 1, f"f{n % 50}", 1, n) for n in range(100_000)]
    profile = tree(nodes)
    began = time.process_time()
    rows = by_function(profile)
    assert time.process_time() - began < 3.0
    assert totals(rows).calls == 100_000


def test_callees_are_the_callers_turned_round() -> None:
    rows = by_function(random_tree(3))
    turned = {(caller, one): part for one, r in rows.items() for caller, part in r.callers.items()}
    assert {(one, called): part for one, all_ in callees(rows).items() for called, part in all_.items()} == turned


def test_a_profile_of_another_collector_has_no_calls() -> None:
    with pytest.raises(UsageError, match="heap"):
        by_function(tree([Node(ROOT, "main")], collector="heap"))


def test_a_call_tree_without_its_columns_is_corrupt() -> None:
    whole = tree([Node(ROOT, "main")])
    with pytest.raises(ProfileCorrupt, match="self_ns"):
        by_function(
            Profile(
                whole.header,
                whole.functions,
                whole.locations,
                whole.labels,
                whole.parents,
                whole.node_locations,
                whole.node_labels,
                whole.columns[:1],
            )
        )


def test_stripping_directories_merges_what_becomes_equal() -> None:
    twins = [Function("run", "run", f"/srv/{folder}/m.py", 3) for folder in "ab"]
    profile = tree([Node(ROOT, "main"), Node(0, twins[0], 2, 1), Node(0, twins[1], 3, 2)])
    rows = strip_rows(by_function(profile))
    assert rows["m.py", 3, "run"].figures.calls == 5
    assert by_function(strip_dirs(profile)) == rows


def test_callers_that_become_equal_are_added_up() -> None:
    twins = [Function("run", "run", f"/srv/{folder}/m.py", 3) for folder in "ab"]
    profile = tree([Node(ROOT, twins[0]), Node(ROOT, twins[1]), Node(0, "leaf", 2), Node(1, "leaf", 3)])
    leaf = strip_rows(by_function(profile))["app.py", function("leaf").first_line, "leaf"]
    assert [part.calls for part in leaf.callers.values()] == [5]


WORKER = Label(7, "worker", 4711)
THREADED = [
    Node(ROOT, "main", 1, 1),
    Node(ROOT, "work", 2, 2, label=WORKER),
    Node(1, "leaf", 3, 4, label=WORKER),
]


@pytest.mark.parametrize("thread", ["worker", "7"])
def test_a_thread_is_found_by_name_and_by_identifier(thread: str) -> None:
    rows = by_function(by_thread(tree(THREADED), thread))
    assert {one[2]: r.figures.calls for one, r in rows.items()} == {"work": 2, "leaf": 3}


def test_an_unknown_thread_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError) as refused:
        by_thread(tree(THREADED), "nobody")
    assert "'worker' (7)" in refused.value.remedy


def test_a_thread_that_was_seen_in_several_slices_is_named_once_by_a_refusal() -> None:
    slices = [Node(ROOT, "main", label=replace(MAIN, at_s=at_s)) for at_s in (10, 20, 30)]
    with pytest.raises(UsageError) as refused:
        by_thread(tree(slices), "nobody")
    assert refused.value.remedy == f"choose one of: 'MainThread' ({MAIN.thread_id})"


def test_threads_are_listed_once_in_order() -> None:
    assert threads(tree(THREADED)) == [MAIN, WORKER]


def test_merging_adds_up_equal_stacks() -> None:
    first = tree([Node(ROOT, "main", 1, 1), Node(0, "work", 2, 2)], started_at=5.0, lost={"nodes": 1})
    second = tree([Node(ROOT, "other", 1, 8), Node(ROOT, "main", 1, 4)], session="s2", lost={"nodes": 2})
    merged = merge([first, second])
    assert {one[2]: r.figures.calls for one, r in by_function(merged).items()} == {
        "main": 2,
        "work": 2,
        "other": 1,
    }
    assert (merged.header.started_at, merged.header.session, merged.header.lost) == (5.0, "", {"nodes": 3})


def test_merging_a_profile_with_itself_doubles_its_figures() -> None:
    profile = random_tree(4)
    single, double = by_function(profile), by_function(merge([profile, profile]))
    assert double == {one: FunctionRow(r.figures + r.figures, double[one].callers) for one, r in single.items()}


def test_profiles_of_different_collectors_do_not_merge() -> None:
    with pytest.raises(UsageError, match="p1 is of calls, p2 of heap"):
        merge([tree([], profile="p1"), tree([], collector="heap", profile="p2")])
