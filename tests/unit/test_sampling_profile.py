"""What samplers have met as a profile: every sample in it once, at its line, in its state, and none of our agent's."""

from __future__ import annotations

from collections import Counter

from execd.model.profile import Header, Profile, check
from execd.sampling.code_reader import CodeObject, Unreadable
from execd.sampling.line_tables import LineTable
from execd.sampling.options import SamplingOptions
from execd.sampling.profile import Part, stack_profile
from execd.sampling.samples import STATES, SYSTEM_CALL, THREAD, TOO_DEEP, UNSETTLED, Node
from execd.sampling.thread_names import ThreadName
from hypothesis import given
from hypothesis import strategies as st

MAIN, OTHER = 10, 11
INTERVAL_NS = 5_000_000.0
READ = 0
NAMES = {MAIN: ThreadName(0x7F00, "MainThread", 0)}


def header() -> Header:
    return Header("samples", "native", "s1", 7, ("python",), "3.12.1", 0.0, 1.0, extra={"unchanged": 5})


def code(name: str, file: str = "/a.py") -> CodeObject:
    """Of 20 bytes, two of each line from 3 on."""
    starts = tuple(range(0, 20, 2))
    lines = LineTable(2, starts, tuple(one + 2 for one in starts), tuple(range(3, 13)))
    return CodeObject(0, file, name, f"C.{name}", 2, 20, 0, b"", lines)


CODES = [
    code("outer"),
    code("inner"),
    Unreadable(0, "gone"),
    code("run", "<execd_agent.agent>"),
    code("text", "<string>"),
]


def profile(nodes: list[Node], slices: dict[int, Counter[tuple[int, int]]]) -> Profile:
    return check(stack_profile(header(), [Part(nodes, CODES, slices)], NAMES, INTERVAL_NS))


def rows(found: Profile, column: str = "samples") -> dict[tuple[str, ...], int]:
    """By the names and lines of a stack, outermost first: a column where it is not 0."""
    values = found.column(column)
    stacks: list[tuple[str, ...]] = []
    for node, parent in enumerate(found.parents):
        place = found.locations[found.node_locations[node]]
        own = f"{found.functions[place.function].name}:{place.line}"
        stacks.append((*(stacks[parent] if parent >= 0 else ()), own))
    return {stack: value for stack, value in zip(stacks, values, strict=True) if value}


def test_samples_stand_at_their_lines_in_their_states() -> None:
    nodes = [Node(None, THREAD, MAIN), Node(0, 0, 4), Node(1, 1, 0), Node(1, 1, 1), Node(1, 1, 2)]
    nodes += [Node(1, UNSETTLED, 0), Node(5, 1, 6), Node(1, SYSTEM_CALL, READ), Node(0, TOO_DEEP, 0), Node(8, 2, 0)]
    counts = Counter({(2, 0): 1, (3, 0): 2, (4, 3): 4, (6, 1): 8, (7, 4): 16, (9, 0): 32, (0, 4): 64})
    found = profile(nodes, {0: counts})
    assert rows(found) == {
        # Two instructions of one line are one place.
        ("outer:5", "inner:3"): 3,
        ("outer:5", "inner:4"): 4,
        ("outer:5", "(unsettled):0", "inner:6"): 8,
        ("outer:5", "(system call read):0"): 16,
        ("(frames left out):0", "(unreadable):0"): 32,
        ("(no frame of Python):0",): 64,
    }
    assert rows(found, "waiting_for_gil") == {("outer:5", "inner:4"): 4}
    assert sum(found.column("cpu_ns")) == (1 + 2 + 8 + 32) * INTERVAL_NS
    assert sum(found.column("wall_ns")) == 127 * INTERVAL_NS
    assert [(one.thread_id, one.thread_name, one.pid) for one in found.labels] == [(0x7F00, "MainThread", 7)]
    assert {one.qualname for one in found.functions if one.file == "/a.py"} == {"C.outer", "C.inner"}


def test_a_thread_without_a_name_goes_by_its_number() -> None:
    found = profile([Node(None, THREAD, OTHER), Node(0, 0, 0)], {0: Counter({(1, 0): 1})})
    assert [(one.thread_id, one.thread_name) for one in found.labels] == [(OTHER, "")]


def test_slices_are_labels_of_their_own() -> None:
    nodes = [Node(None, THREAD, MAIN), Node(0, 0, 0)]
    found = profile(nodes, {100: Counter({(1, 0): 1}), 110: Counter({(1, 0): 2})})
    by_slice = zip((found.labels[one].at_s for one in found.node_labels), found.column("samples"), strict=True)
    assert dict(by_slice) == {100: 1, 110: 2}


def test_our_agents_thread_is_left_out_and_other_threads_hooks_are_not() -> None:
    nodes = [Node(None, THREAD, OTHER), Node(0, 4, 0), Node(1, 3, 0), Node(1, UNSETTLED, 0)]
    nodes += [Node(None, THREAD, MAIN), Node(4, 0, 0), Node(5, 3, 0)]
    found = profile(nodes, {0: Counter({(2, 4): 2, (3, 4): 1, (6, 0): 4})})
    assert rows(found) == {("outer:3", "run:3"): 4}
    assert len(found.labels) == 1
    assert found.header.extra["unchanged"] == 5 - 3


@st.composite
def met(draw: st.DrawFn) -> tuple[list[Node], Counter[tuple[int, int]]]:
    """Trees as the native sampler makes them: parents first, threads at the top."""
    nodes = [Node(None, THREAD, MAIN)]
    for place in range(1, draw(st.integers(1, 30))):
        own = draw(st.sampled_from([0, 1, 2, UNSETTLED, TOO_DEEP]))
        nodes.append(Node(draw(st.integers(0, place - 1)), own, draw(st.integers(0, 25))))
    places = st.tuples(st.integers(0, len(nodes) - 1), st.integers(0, len(STATES) - 1))
    return nodes, Counter(draw(st.dictionaries(places, st.integers(1, 1000), max_size=40)))


@given(met())
def test_every_sample_is_in_it_once(tree: tuple[list[Node], Counter[tuple[int, int]]]) -> None:
    nodes, counts = tree
    found = profile(nodes, {0: counts})
    assert sum(found.column("samples")) == counts.total()
    for state, name in enumerate(STATES):
        assert sum(found.column(name)) == sum(count for (_, one), count in counts.items() if one == state)


def test_an_interval_is_that_of_the_rate() -> None:
    assert SamplingOptions(rate_hz=200.0).interval_ns == 5_000_000
