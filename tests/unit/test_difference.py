"""What a recording gained between two snapshots of it."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import replace

import pytest
from call_trees import Node, header, tree
from execd.model.difference import since, subtract
from execd.model.profile import ROOT, Column, Label, Location, Profile, check
from hypothesis import given
from hypothesis import strategies as st

FUNCTIONS = ("main", "work", "step", "<built-in len>")
THREADS = (Label(1, "MainThread", 4711), Label(2, "worker", 4711), Label(2, "other", 4711))
MAIN_THREAD, WORKER, _ = THREADS
ENDED = Label(0, "(ended threads)", 4711)
COLUMNS = ("calls", "self_ns", "open")

# A stack is its thread and the functions from the bottom up; a recording is the figures of each.
stacks = st.tuples(st.sampled_from(THREADS), st.lists(st.sampled_from(FUNCTIONS), min_size=1, max_size=5).map(tuple))
figures = st.tuples(st.integers(0, 1 << 50), st.integers(0, 1 << 50), st.integers(0, 3))
recordings = st.dictionaries(stacks, figures, max_size=20)
Recording = dict[tuple[Label, tuple[str, ...]], tuple[int, int, int]]


def as_profile(recording: Recording, **fields: object) -> Profile:
    """Return a recording as a profile; callers that it does not name are there with nothing."""
    places: dict[tuple[Label, tuple[str, ...]], int] = {}
    nodes: list[Node] = []
    for label, functions in recording:
        for depth in range(1, len(functions) + 1):
            stack = (label, functions[:depth])
            if stack not in places:
                places[stack] = len(nodes)
                parent = places[label, functions[: depth - 1]] if depth > 1 else ROOT
                nodes.append(Node(parent, functions[depth - 1], *recording.get(stack, (0, 0, 0)), label))
    return tree(nodes, **fields)


def as_recording(profile: Profile) -> Recording:
    """Return what a profile has of each stack, without those that have nothing."""
    paths: list[tuple[str, ...]] = []
    found: Counter[tuple[Label, tuple[str, ...], str]] = Counter()
    for node, parent in enumerate(profile.parents):
        paths.append((*(paths[parent] if parent != ROOT else ()), profile.functions[profile.function_of(node)].name))
        label = profile.labels[profile.node_labels[node]]
        found.update({(label, paths[node], name): profile.column(name)[node] for name in COLUMNS})
    keys = {key[:2] for key, value in found.items() if value}
    return {key: tuple(found[*key, name] for name in COLUMNS) for key in keys}  # type: ignore[misc]


def added(first: Recording, second: Recording) -> Recording:
    nothing = (0, 0, 0)
    return {
        key: tuple(map(sum, zip(first.get(key, nothing), second.get(key, nothing), strict=True)))  # type: ignore[misc]
        for key in first | second
    }


def without_nothing(recording: Recording) -> Recording:
    return {key: value for key, value in recording.items() if any(value)}


@given(recordings, recordings)
def test_what_was_gained_comes_out(earlier: Recording, gained: Recording) -> None:
    difference = subtract(as_profile(added(earlier, gained)), as_profile(earlier))
    assert as_recording(check(difference)) == without_nothing(gained)


@given(recordings)
def test_a_recording_that_went_on_without_a_call_gained_nothing(recording: Recording) -> None:
    assert len(subtract(as_profile(recording), as_profile(recording)).parents) == 0


@given(recordings)
def test_over_nothing_everything_was_gained(recording: Recording) -> None:
    assert as_recording(subtract(as_profile(recording), as_profile({}))) == without_nothing(recording)


def test_callers_of_what_gained_stay_with_nothing_of_their_own() -> None:
    earlier: Recording = {(MAIN_THREAD, ("main",)): (1, 10, 0), (MAIN_THREAD, ("main", "work")): (3, 30, 0)}
    gained: Recording = {(MAIN_THREAD, ("main", "work")): (2, 20, 0)}
    difference = subtract(as_profile(added(earlier, gained)), as_profile(earlier))
    assert list(difference.parents) == [ROOT, 0]
    assert list(difference.column("calls")) == [0, 2]


def test_the_header_is_the_later_ones() -> None:
    later = as_profile({(MAIN_THREAD, ("main",)): (1, 1, 0)}, ended_at=20.0)
    assert subtract(later, as_profile({}, ended_at=10.0)).header == header(ended_at=20.0)


def test_two_threads_of_one_number_and_name_are_one() -> None:
    """The number of a thread that ended is given to the next; the agent keeps a tree of each."""
    stack = Node(ROOT, "work", 9, 90, 0, WORKER)
    earlier = tree([stack, stack._replace(calls=2, self_ns=20)])
    later = tree([stack, stack._replace(calls=4, self_ns=40)])
    assert as_recording(subtract(later, earlier)) == {(WORKER, ("work",)): (2, 20, 0)}


def test_what_an_ended_thread_had_before_is_not_gained_when_the_agent_merges_it() -> None:
    """A server with a thread a request: ended threads are merged into one after a while."""
    earlier = as_profile({(WORKER, ("work",)): (5, 50, 0), (MAIN_THREAD, ("main",)): (1, 10, 0)})
    later = as_profile({(ENDED, ("work",)): (7, 70, 0), (MAIN_THREAD, ("main",)): (1, 10, 0)})
    assert as_recording(subtract(later, earlier)) == {(ENDED, ("work",)): (2, 20, 0)}


def test_what_a_thread_had_under_its_old_name_is_not_gained() -> None:
    earlier = as_profile({(Label(2, "", 4711), ("work",)): (5, 50, 0)})
    later = as_profile({(WORKER, ("work",)): (7, 70, 0)})
    assert as_recording(subtract(later, earlier)) == {(WORKER, ("work",)): (2, 20, 0)}


@pytest.mark.parametrize("column", COLUMNS)
def test_a_figure_that_shrank_gained_nothing(column: str) -> None:
    """An open frame is counted while its thread lives: the figure of a thread that was never heard of can shrink."""
    nodes = [Node(ROOT, "main", 1, 1, 1)]
    earlier = tree([nodes[0]._replace(calls=5, self_ns=5, open=5)])
    assert list(subtract(tree([nodes[0]._replace(calls=9)]), earlier).column(column)) == [4 * (column == "calls")]


def places(collector: str, rows: list[tuple[int, int]], column: str) -> Profile:
    """Return a profile of lines of one function, each with a figure."""
    found = tree([Node(ROOT, "main") for _ in rows], collector=collector)
    return replace(
        found,
        locations=tuple(Location(0, line) for line, _ in rows),
        node_locations=array("i", range(len(rows))),
        columns=(Column(column, "", array("q", [figure for _, figure in rows])),),
    )


def rows_of(profile: Profile) -> list[tuple[int, int]]:
    lines = [profile.locations[location].line for location in profile.node_locations]
    return list(zip(lines, profile.columns[0].values, strict=True))


def test_lines_of_one_function_are_told_apart() -> None:
    earlier, later = places("lines", [(1, 5), (2, 7)], "hits"), places("lines", [(1, 5), (2, 9), (3, 1)], "hits")
    assert rows_of(since(later, earlier)) == [(2, 2), (3, 1)]


def test_what_is_marked_counts_from_the_mark_on() -> None:
    earlier, later = places("cover", [(1, 1), (2, 1)], "mark"), places("cover", [(1, 1), (2, 2), (3, 2)], "mark")
    assert rows_of(since(later, earlier)) == [(2, 2), (3, 2)]
    assert rows_of(since(later, places("cover", [], "mark"))) == [(1, 1), (2, 2), (3, 2)]


def test_a_state_is_what_it_is() -> None:
    earlier, later = places("census", [(1, 10)], "objects"), places("census", [(1, 12)], "objects")
    assert since(later, earlier) == later
