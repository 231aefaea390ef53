"""Call trees for tests: made by hand, at random, and recorded with sys.setprofile."""

from __future__ import annotations

import random
import sys
import time
import types
from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

from execd.model.profile import ROOT, Column, Function, Header, Label, Location, Profile, check

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAIN = Label(thread_id=140_000_000_001, thread_name="MainThread", pid=4711)


class Node(NamedTuple):
    """A node of a tree made by hand: "main" is a Python function, "<built-in ...>" a C function."""

    parent: int
    function: str | Function
    calls: int = 1
    self_ns: int = 0
    open: int = 0
    label: Label = MAIN


def header(**fields: Any) -> Header:
    """Return a header; each field can be given."""
    usual: dict[str, Any] = {
        "collector": "calls",
        "form": "python",
        "session": "s1",
        "pid": 4711,
        "command_line": ("python3", "app.py"),
        "python_version": "3.11.7",
        "started_at": 1_700_000_000.0,
        "ended_at": 1_700_000_010.0,
    }
    return Header(**(usual | fields))


def function(name: str) -> Function:
    """Return the function that a name stands for in a tree made by hand."""
    if name.startswith("<built-in"):
        return Function(name, name, "~", 0)
    return Function(name, name, "/srv/app.py", 1 + sum(map(ord, name)) % 97)


def tree(nodes: Sequence[Node], **fields: Any) -> Profile:
    """Return a profile with these nodes; the fields are the header's."""
    functions: dict[Function, int] = {}
    labels: dict[Label, int] = {}
    for node in nodes:
        called = function(node.function) if isinstance(node.function, str) else node.function
        functions.setdefault(called, len(functions))
        labels.setdefault(node.label, len(labels))
    known = {one.name: index for one, index in functions.items()}
    indexes = [known[one] if isinstance(one, str) else functions[one] for one in (n.function for n in nodes)]
    return check(
        Profile(
            header(**fields),
            tuple(functions),
            tuple(Location(index, one.first_line) for index, one in enumerate(functions)),
            tuple(labels),
            array("i", (node.parent for node in nodes)),
            array("i", indexes),
            array("i", (labels[node.label] for node in nodes)),
            (
                Column("calls", "count", array("q", (node.calls for node in nodes))),
                Column("self_ns", "ns", array("q", (node.self_ns for node in nodes))),
                Column("open", "count", array("q", (node.open for node in nodes))),
            ),
        )
    )


def random_tree(seed: int, size: int = 300, functions: int = 40) -> Profile:
    """Return a tree with recursion, several threads, equal file names in two folders, and C functions."""
    chance = random.Random(seed)  # noqa: S311 -- trees, not secrets
    known = [
        Function(f"<built-in method m.f{index}>", f"f{index}", "~", 0)
        if index % 5 == 0
        else Function(f"f{index % 7}", f"f{index}", f"/srv/{'ab'[index % 2]}{index}/m{index % 3}.py", index)
        for index in range(functions)
    ]
    labels = [MAIN, Label(7, "worker", 4711)]
    nodes: list[Node] = []
    for place in range(size):
        parent = ROOT if place < len(labels) else chance.randrange(max(0, place - 9), place)
        label = labels[place] if parent == ROOT else nodes[parent].label
        was_open = int(chance.random() < 0.1)
        calls = 0 if was_open else chance.randrange(1, 9)
        nodes.append(Node(parent, chance.choice(known), calls, chance.randrange(10**10), was_open, label))
    return tree(nodes)


def recorded(work: Callable[[], object]) -> Profile:
    """Run something and return its call tree, with C functions under the names that cProfile gives them."""
    recorder = _Recorder()
    sys.setprofile(recorder.event)
    work()
    sys.setprofile(None)
    return recorder.profile()


class _Recorder:
    def __init__(self) -> None:
        self._places: dict[tuple[int, Function], int] = {}
        self._nodes: list[list[Any]] = []
        self._path: list[int] = []
        self._since = time.perf_counter_ns()

    def event(self, frame: types.FrameType, event: str, argument: Any) -> None:
        now = time.perf_counter_ns()
        if self._path:
            self._nodes[self._path[-1]][3] += now - self._since
        if event == "call":
            code = frame.f_code
            self._enter(Function(code.co_name, code.co_qualname, code.co_filename, code.co_firstlineno))
        elif event == "c_call" and argument is not sys.setprofile:
            name = _builtin_name(argument)
            self._enter(Function(name, name, "~", 0))
        elif self._path:
            self._path.pop()
        self._since = time.perf_counter_ns()

    def profile(self) -> Profile:
        return tree([Node(*node) for node in self._nodes])

    def _enter(self, called: Function) -> None:
        parent = self._path[-1] if self._path else ROOT
        place = self._places.setdefault((parent, called), len(self._nodes))
        if place == len(self._nodes):
            self._nodes.append([parent, called, 0, 0])
        self._nodes[place][2] += 1
        self._path.append(place)


def _builtin_name(called: Any) -> str:
    owner = getattr(called, "__self__", None)
    if isinstance(owner, types.ModuleType) or owner is None:
        return f"<built-in method {called.__module__}.{called.__name__}>"
    method = getattr(type(owner), called.__name__, None)
    return f"<built-in method {called.__name__}>" if method is None else repr(method)
