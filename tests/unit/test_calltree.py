"""The call tree by hand: the shadow stack, what does not fit it, the memory limit, and the merge of ended threads."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from call_trees import header
from execd.attach.table import read_table
from execd_agent.collectors import events
from execd_agent.collectors.calltree import NODE_BYTES, CallTree, Node, ThreadTree, code_bytes
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from types import CodeType

    from execd.model.profile import Profile

ROOM = 1000 * NODE_BYTES
TICK_NS = 10


class Ticking:
    """A clock that goes on by 10 ns at every look."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        self.now_ns += TICK_NS
        return self.now_ns


def codes(count: int) -> list[CodeType]:
    # Code objects are equal where their constants are: each gets one of its own.
    return [compile(f"{number}", f"file{number}.py", "eval") for number in range(count)]


def room_for(known: list[CodeType]) -> int:
    """What as many nodes take, each of a code object of its own."""
    return sum(NODE_BYTES + code_bytes(code) for code in known)


def handlers_of(calls: CallTree) -> SimpleNamespace:
    """The handlers that feed a tree."""
    return SimpleNamespace(**events.handlers(calls, 1, None, builtins=True))


def a_tree(max_bytes: int = ROOM) -> tuple[CallTree, ThreadTree, SimpleNamespace]:
    """Return a tree of this thread with nothing open, and handlers that feed it."""
    calls = CallTree(Ticking(), max_bytes)
    tree = ThreadTree(sys.maxsize, "made", calls.started_ns)
    calls.trees.append(tree)
    calls.local.tree = tree
    return calls, tree, handlers_of(calls)


def profile_of(calls: CallTree) -> Profile:
    now_ns = calls.clock()
    facts: dict[str, Any] = {"span_ns": now_ns, "lost": {}, "caveats": []}
    return read_table(calls.table(now_ns, facts), header(), 1)


def of_label(profile: Profile, column: str, name: str) -> int:
    values = profile.column(column)
    return sum(
        value for node, value in enumerate(values) if profile.labels[profile.node_labels[node]].thread_name == name
    )


@given(st.lists(st.integers(0, 3), max_size=60))
def test_calls_and_returns_are_a_tree_whose_times_add_up(moves: list[int]) -> None:
    """0 is a return, the others call one of three functions."""
    _, tree, handlers = a_tree()
    known = codes(3)
    stack: list[int] = []
    expected: dict[tuple[int, ...], int] = {}
    for move in moves:
        if move:
            stack.append(move - 1)
            expected[tuple(stack)] = expected.get(tuple(stack), 0) + 1
            handlers.enter(known[move - 1])
        elif stack:
            handlers.leave(known[stack.pop()])
    assert nodes_of(tree.root, known) == expected
    assert total_ns(tree.root) == (len(moves) - unmatched_returns(moves)) * TICK_NS


def unmatched_returns(moves: list[int]) -> int:
    """How many returns had nothing to return from."""
    depth = unmatched = 0
    for move in moves:
        if move:
            depth += 1
        elif depth:
            depth -= 1
        else:
            unmatched += 1
    return unmatched


def nodes_of(root: Node, known: list[CodeType]) -> dict[tuple[int, ...], int]:
    found = {}
    pending = [(root, ())] if root else []
    while pending:
        node, path = pending.pop()
        for child in node.children.values():
            below = (*path, known.index(child.what))  # type: ignore[arg-type]
            found[below] = child.calls
            pending.append((child, below))  # type: ignore[arg-type]
    return found


def total_ns(node: Node) -> int:
    return node.self_ns + sum(total_ns(child) for child in node.children.values())


def test_time_belongs_to_the_function_that_was_current_since_the_last_event() -> None:
    _, tree, handlers = a_tree()
    outer, inner = codes(2)
    handlers.enter(outer)
    handlers.enter(inner)
    handlers.leave(inner)
    handlers.leave(outer)
    (above,) = tree.root.children.values()
    (below,) = above.children.values()
    assert (above.self_ns, below.self_ns) == (2 * TICK_NS, TICK_NS)


def test_over_the_memory_limit_calls_are_counted_and_the_stack_stays_right() -> None:
    known = codes(4)
    calls, tree, handlers = a_tree(max_bytes=room_for(known[:2]))
    for code in known:
        handlers.enter(code)
    for code in reversed(known):
        handlers.leave(code)
    assert calls.lost_calls == 2
    assert tree.node is tree.root
    assert nodes_of(tree.root, known) == {(0,): 1, (0, 1): 1}


def test_what_there_is_room_for_is_counted_again_when_the_limit_is_reached() -> None:
    first, second = codes(2)
    calls, tree, handlers = a_tree(max_bytes=room_for([first]))
    for code in (first, second, first):
        handlers.enter(code)
        handlers.leave(code)
    assert nodes_of(tree.root, [first, second]) == {(0,): 2}
    assert calls.lost_calls == 1


@pytest.mark.parametrize("limit", [0, 1, NODE_BYTES - 1])
def test_without_room_for_a_node_everything_is_lost_and_nothing_breaks(limit: int) -> None:
    calls, tree, handlers = a_tree(max_bytes=limit)
    (code,) = codes(1)
    for _ in range(3):
        handlers.enter(code)
    for _ in range(3):
        handlers.leave(code)
    assert (calls.lost_calls, tree.skipped, tree.root.children) == (3, 0, {})


def test_a_return_that_fits_nothing_finds_the_frame_where_the_thread_really_is() -> None:
    _, tree, handlers = a_tree()
    handlers.enter(codes(1)[0])

    def really_here() -> None:
        handlers.leave(sys._getframe().f_code)  # noqa: SLF001 - as an event tells it

    really_here()
    own = sys._getframe().f_code  # noqa: SLF001
    assert tree.node.what is own
    assert tree.skipped == 0


def test_threads_that_ended_are_merged_without_losing_a_call() -> None:
    calls = CallTree(Ticking(), 100 * ROOM)
    (code,) = codes(1)
    handlers = handlers_of(calls)
    count = 200
    for number in range(count):
        tree = ThreadTree(1 << 60 | number, f"thread-{number}", 0)
        calls.trees.append(tree)
        calls.local.tree = tree
        handlers.enter(code)
        handlers.leave(code)
    calls._merge_ended()  # noqa: SLF001 - what a new thread starts
    profile = profile_of(calls)
    assert len(calls.trees) < count
    assert sum(profile.column("calls")) == count
    assert of_label(profile, "calls", "(ended threads)") == count - len(calls.trees)
    assert calls.used_bytes == (len(calls.trees) + 1) * NODE_BYTES + code_bytes(code)


def test_a_thread_that_is_left_out_stays_so() -> None:
    calls = CallTree(Ticking(), ROOM)
    calls.ignore_this_thread()
    handlers = handlers_of(calls)
    (code,) = codes(1)
    handlers.enter(code)
    handlers.leave(code)
    handlers.enter_c(code, 0, len, None)
    handlers.leave_c(code, 0, len, None)
    assert calls.trees == []


def test_a_c_function_that_raised_returns_like_another() -> None:
    _, tree, handlers = a_tree()
    (code,) = codes(1)
    handlers.enter(code)
    for function in (len, [].append, list.append):
        handlers.enter_c(code, 0, function, None)
        handlers.leave_c(code, 0, function, None)
    assert tree.node.what is code
    names = {child.what for child in tree.node.children.values()}
    assert len(names) == 2
    assert all(isinstance(name, str) for name in names)


def test_the_return_of_a_c_function_that_began_before_the_session_pops_nothing() -> None:
    _, tree, handlers = a_tree()
    (code,) = codes(1)
    handlers.enter(code)
    handlers.leave_c(code, 0, len, None)
    assert tree.node.what is code


@pytest.mark.parametrize("function", [int, type, object])
def test_a_call_of_a_class_is_no_call_of_a_c_function(function: type) -> None:
    _, tree, handlers = a_tree()
    (code,) = codes(1)
    handlers.enter(code)
    handlers.enter_c(code, 0, function, None)
    handlers.leave_c(code, 0, function, None)
    assert tree.node.children == {}
