"""Windows of samples: each is what a walk over every sample counts, and all of them together miss nothing."""

from __future__ import annotations

import struct
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import pytest
from execd.model.profile import BUILTIN_FILE
from execd.sampling.code_reader import CodeObject, Unreadable
from execd.sampling.samples import STATES, SYSTEM_CALL, THREAD, UNSETTLED, Node, Samples
from execd.sampling.thread_names import ThreadName
from execd.sampling.window import Follower, Windows
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from execd.model.profile import Function
    from execd.model.window import Counts, Rows, Window

READ, FUTEX = 0, 202
# As daemon/native/tree.h has them.
NODE, NO_NODE = struct.Struct("<IIQ"), 0xFFFFFFFF
VIEWS = {"wall": (0, 1, 2, 3, 4), "cpu": (0, 1), "gil": (0, 2)}
Counted = Counter[tuple[int, int]]


class SameLines:
    """A line table in which an instruction's line is its own number."""

    def line(self, instruction: int) -> int | None:
        return instruction or None


def code(name: str) -> CodeObject:
    """A code object of a function; only what a window asks of it is there."""
    known = {
        "name": name,
        "qualname": f"Shop.{name}",
        "filename": "/srv/shop.py",
        "first_line": 7,
        "lines": SameLines(),
    }
    made = object.__new__(CodeObject)
    for field, value in known.items():
        object.__setattr__(made, field, value)
    return made


def tree(*nodes: Node, codes: Iterable[CodeObject | Unreadable] = ()) -> Samples:
    """What a sampler has met; codes are main, work and fib where none are given."""
    met = Samples(codes=list(codes) or [code(name) for name in ("main", "work", "fib")])
    for one in nodes:
        met.nodes.add(NODE.pack(NO_NODE if one.parent is None else one.parent, one.code, one.where))
    return met


# main:3 -> work:5 -> read, main:3 -> fib:9 -> fib:9 -> fib:8, and a thread without a frame.
TREE = (
    Node(None, THREAD, 41),
    Node(0, 0, 3),
    Node(1, 1, 5),
    Node(2, SYSTEM_CALL, READ),
    Node(1, 2, 9),
    Node(4, 2, 9),
    Node(5, 2, 8),
    Node(None, THREAD, 42),
    Node(7, SYSTEM_CALL, FUTEX),
)


def window_of(samples: Samples, counts: Mapping[tuple[int, int], int], maker: Windows | None = None) -> Window:
    """The window of some counts."""
    follower = Follower(100.0)
    follower.add(samples, Counter(counts), Counter(turns=10, verified=4, unread=1, torn=2), 1.0, 101.0)
    return (maker or Windows()).window(follower.take(), {41: ThreadName(7041, "MainThread", 0)})


class Got(NamedTuple):
    """Own and total samples of a place."""

    own: int
    total: int


def read(rows: Rows, functions: list[Function], view: str) -> dict[tuple[str, int], Got]:
    """A table by name and line."""
    lines = rows.lines or [0] * len(rows.functions)
    own: Counts = rows.own
    places = [(functions[number].name, line) for number, line in zip(rows.functions, lines, strict=True)]
    return {
        place: Got(*counts)
        for place, *counts in zip(places, getattr(own, view), getattr(rows.total, view), strict=True)
    }


def test_of_each_function_is_counted_what_is_its_own_and_what_is_below_it() -> None:
    window = window_of(tree(*TREE), {(2, 0): 3, (3, 4): 10, (6, 0): 2, (5, 3): 1, (8, 4): 5})
    functions = list(window.new_functions)
    assert read(window.functions, functions, "wall") == {
        ("main", 0): Got(0, 16),
        ("work", 0): Got(13, 13),
        ("fib", 0): Got(3, 3),
        ("(no frame of Python)", 0): Got(5, 5),
    }
    assert read(window.functions, functions, "cpu")["work", 0] == Got(3, 3)
    assert read(window.functions, functions, "gil")["main", 0] == Got(0, 5)


def test_a_line_that_recurs_counts_once() -> None:
    window = window_of(tree(*TREE), {(6, 0): 2, (5, 3): 1})
    lines = read(window.lines, list(window.new_functions), "wall")
    assert lines == {("main", 3): Got(0, 3), ("fib", 9): Got(1, 3), ("fib", 8): Got(2, 2)}
    assert read(window.functions, list(window.new_functions), "wall")["fib", 0] == Got(3, 3)


def test_a_thread_is_told_with_its_states_and_where_it_was_most() -> None:
    window = window_of(tree(*TREE), {(2, 0): 3, (3, 4): 10, (6, 0): 2, (8, 4): 5})
    first, second = window.threads
    functions = window.new_functions
    assert (first.native_id, first.thread_id, first.name, first.states) == (41, 7041, "MainThread", (5, 0, 0, 0, 10))
    assert (functions[first.function].qualname, first.line, first.system_call) == ("Shop.work", 5, "read")
    assert (second.native_id, second.thread_id, second.name, second.system_call) == (42, 0, "", "futex")
    assert window.states == (5, 0, 0, 0, 15)


def test_figures_and_times_are_those_of_the_span() -> None:
    window = window_of(tree(*TREE), {(2, 0): 3})
    assert (window.started_at, window.ended_at, window.turns) == (100.0, 101.0, 10)
    assert (window.verified, window.unsettled, window.lost) == (4, 0, 3)


def test_a_window_without_samples_is_empty() -> None:
    window = Windows().window(Follower(5.0).take(), {})
    assert (window.started_at, window.ended_at, window.turns, window.threads) == (5.0, 5.0, 0, ())
    assert window.states == (0,) * len(STATES)
    assert list(window.functions.functions) == list(window.lines.functions) == []


def test_a_function_is_told_once_and_keeps_its_number() -> None:
    maker, samples = Windows(), tree(*TREE)
    first = window_of(samples, {(2, 0): 1}, maker)
    later = window_of(samples, {(2, 0): 1, (6, 0): 1}, maker)
    assert {one.name for one in later.new_functions} == {"fib"}
    functions = [*first.new_functions, *later.new_functions]
    assert read(later.functions, functions, "wall")["work", 0] == Got(1, 1)
    # A new sampler has other tables of the same functions.
    assert window_of(tree(*TREE), {(6, 0): 1}, maker).new_functions == ()


def test_what_is_no_function_has_a_name_of_its_own() -> None:
    samples = tree(
        Node(None, THREAD, 41), Node(0, UNSETTLED, 0), Node(1, 0, 0), codes=[Unreadable(4096, "it was gone")]
    )
    window = window_of(samples, {(2, 0): 1})
    names = {(one.name, one.file) for one in window.new_functions}
    assert {("(unsettled)", BUILTIN_FILE), ("(unreadable)", BUILTIN_FILE)} <= names


@st.composite
def recordings(draw: st.DrawFn) -> tuple[list[Node], list[Counted]]:
    """The tree of a sampler, and what it met in some windows."""
    nodes = [Node(None, THREAD, 41), Node(None, THREAD, 42)]
    calls = set[int]()
    for _ in range(draw(st.integers(1, 30))):
        parent = draw(st.integers(0, len(nodes) - 1).filter(lambda one: one not in calls))
        kind = draw(st.sampled_from([0, 0, 1, 2, UNSETTLED, SYSTEM_CALL]))
        if kind == SYSTEM_CALL:
            calls.add(len(nodes))
        nodes.append(Node(parent, kind, draw(st.integers(0, 2))))
    met = st.dictionaries(st.tuples(st.integers(0, len(nodes) - 1), st.integers(0, 4)), st.integers(1, 1 << 20))
    return nodes, [Counter(draw(met)) for _ in range(3)]


def walked(nodes: list[Node], counts: Counted, view: str, *, by_line: bool) -> dict[tuple[str, int], Got]:
    """What a walk up from each sample counts."""
    own: Counter[tuple[str, int]] = Counter()
    total: Counter[tuple[str, int]] = Counter()
    for (node, state), count in counts.items():
        if nodes[node].code == SYSTEM_CALL:
            node = nodes[node].parent or 0  # noqa: PLW2901 - it counts to who made the call
        path = list(up_from(nodes, node, by_line=by_line)) or [("(no frame of Python)", 0)]
        counted = count if state in VIEWS[view] else 0
        own[path[0]] += counted
        for place in set(path):
            total[place] += counted
    return {place: Got(own[place], total[place]) for place in total}


def up_from(nodes: list[Node], node: int, *, by_line: bool) -> Iterable[tuple[str, int]]:
    """The places from a node to its thread."""
    names = {0: "main", 1: "work", 2: "fib", UNSETTLED: "(unsettled)"}
    index: int | None = node
    while index is not None and nodes[index].code != THREAD:
        found = nodes[index]
        yield names[found.code], found.where if by_line and found.code != UNSETTLED else 0
        index = found.parent


@pytest.mark.parametrize("view", list(VIEWS))
@given(recordings())
def test_a_window_is_what_a_walk_over_all_samples_counts(
    view: str, recording: tuple[list[Node], list[Counted]]
) -> None:
    nodes, batches = recording
    maker, functions = Windows(), list["Function"]()
    samples = tree(*nodes)
    for counts in batches:
        window = window_of(samples, counts, maker)
        functions += window.new_functions
        assert read(window.functions, functions, view) == walked(nodes, counts, view, by_line=False)
        assert read(window.lines, functions, view) == walked(nodes, counts, view, by_line=True)
        assert sum(window.states) == counts.total()


def test_a_follower_gets_each_sample_once() -> None:
    samples, follower = tree(*TREE), Follower(0.0)
    for second in range(1, 4):
        follower.add(samples, Counter({(2, 0): second}), Counter(turns=1), 1.0, float(second))
    met = follower.take()
    assert [counts for _, counts in met.parts] == [Counter({(2, 0): 6})]
    assert (met.figures["turns"], met.span_s, met.ended_at) == (3, 3.0, 3.0)
    assert follower.take().parts == []
