"""A snapshot file of `tracemalloc` (Snapshot.dump), read without unpickling: a stranger may have written it.

This reads the few opcodes that such a file has; the two classes that it names stay names.
"""

from __future__ import annotations

import pickletools
from array import array
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.model.collector import MEMORY
from execd.model.profile import MAX_NODES, ROOT, Column, Function, Header, Label, Location, Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# A million blocks of some thousand tracebacks.
MAX_BYTES = 64 << 20
_MOST_FRAMES = 65_535
_MOST_ITEMS = 16_000_000
_MAX_TEXT = 4096
_MAX_LINE, _MAX_DOMAIN, _MAX_SIZE = 1 << 31, 1 << 32, 1 << 48
_MODULE = "tracemalloc"
_CLASSES = frozenset({"Snapshot", "_Traces"})
_CONSTANTS = {"NONE": None, "EMPTY_TUPLE": ()}
_VALUES = frozenset({"BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1"})
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = frozenset({"PROTO", "FRAME"})

_Frames = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """Blocks of one size, domain and traceback: the frames the oldest one first, and how many there were once."""

    domain: int
    size: int
    count: int
    frames: _Frames
    total_frames: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a file holds: the blocks, and how many frames of a traceback were kept."""

    traces: tuple[Trace, ...]
    traceback_limit: int


class _Mark:
    """What MARK puts on the stack."""


@dataclass(slots=True)
class _Object:
    """One of the two classes, or an object of it: the name, and what it is built of."""

    name: str
    state: Mapping[str, object] | None = None


@dataclass(slots=True)
class _Pairs:
    """A dictionary as it comes: keys are not hashed before they are checked."""

    items: list[tuple[object, object]]


def read(data: bytes) -> Snapshot:
    """Return what a file holds.

    Raises:
        UsageError: it is no such file, or is over the limits.
    """
    if len(data) > MAX_BYTES:
        raise UsageError(f"a snapshot file of {len(data) >> 20} MiB is over the limit of {MAX_BYTES >> 20}")
    match _unpickled(data):
        case _Object("Snapshot", {"traces": _Object("_Traces", {"_traces": list() | tuple() as rows}), **others}):
            return Snapshot(tuple(_traces(rows)), _number(others.get("traceback_limit"), _MOST_FRAMES + 1))
    raise _no_snapshot("it holds something else")


def profile_of(snapshot: Snapshot, header: Header) -> Profile:
    """Return a file's blocks as a profile of the memory collector.

    Args:
        snapshot: as read.
        header: where it comes from; its collector is replaced.

    Raises:
        UsageError: its tracebacks have more frames in all than a profile may hold.
    """
    tree = _Tree()
    for trace in snapshot.traces:
        tree.add(trace)
    extra = {**header.extra, "traceback_limit": snapshot.traceback_limit}
    return tree.profile(replace(header, collector=MEMORY.name, extra=extra))


def _unpickled(data: bytes) -> object:
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return machine.result()
            machine.step(opcode.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, UnicodeError, MemoryError, OverflowError) as error:
        raise _no_snapshot(str(error)[:200]) from None
    raise _no_snapshot("it has no end")


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self) -> None:
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}
        self._items = 0
        self._steps: Mapping[str, Callable[[], None]] = {
            "MARK": lambda: self._stack.append(_Mark()),
            "EMPTY_DICT": lambda: self._stack.append(_Pairs([])),
            "EMPTY_LIST": lambda: self._stack.append([]),
            "TUPLE": lambda: self._stack.append(tuple(self._since_mark())),
            "APPEND": lambda: self._append([self._stack.pop()]),
            "APPENDS": lambda: self._append(self._since_mark()),
            "SETITEM": lambda: self._set([self._stack.pop(), self._stack.pop()][::-1]),
            "SETITEMS": lambda: self._set(self._since_mark()),
            "MEMOIZE": lambda: self._memo.update({len(self._memo): self._stack[-1]}),
            "STACK_GLOBAL": lambda: self._name(*[self._stack.pop(), self._stack.pop()][::-1]),
            "NEWOBJ": self._new,
            "BUILD": self._build,
        }

    def step(self, name: str, argument: object) -> None:
        """Do what one opcode says."""
        self._items += 1
        if self._items > _MOST_ITEMS:
            raise ValueError("it builds more than such a file has")
        if name in _VALUES:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            values = [self._stack.pop() for _ in range(_TUPLES[name])]
            self._stack.append(tuple(values[::-1]))
        elif name.endswith("PUT") and isinstance(argument, int):
            self._memo[argument] = self._stack[-1]
        elif name.endswith("GET") and isinstance(argument, int):
            self._stack.append(self._memo[argument])
        elif name == "GLOBAL" and isinstance(argument, str):
            self._name(*argument.split(" ", 1))
        elif name in self._steps:
            self._steps[name]()
        elif name not in _IGNORED:
            raise ValueError(f"it has the opcode {name}")

    def result(self) -> object:
        """Return the value that is left."""
        (value,) = self._stack
        return value

    def _since_mark(self) -> list[object]:
        values: list[object] = []
        while not isinstance(value := self._stack.pop(), _Mark):
            values.append(value)
        return values[::-1]

    def _append(self, values: Sequence[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise TypeError("it appends to something else than a list")
        target += values

    def _set(self, values: Sequence[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, _Pairs) or len(values) % 2:
            raise ValueError("a dictionary does not fit")
        target.items += zip(values[::2], values[1::2], strict=True)

    def _name(self, module: object, name: object) -> None:
        if module != _MODULE or not isinstance(name, str) or name not in _CLASSES:
            raise ValueError(f"it names {module!a}.{name!a}"[:_MAX_TEXT])
        self._stack.append(_Object(name))

    def _new(self) -> None:
        arguments, kind = self._stack.pop(), self._stack.pop()
        if arguments != () or not isinstance(kind, _Object):
            raise ValueError("it makes an object of something else")
        self._stack.append(_Object(kind.name))

    def _build(self) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if not isinstance(state, _Pairs) or not isinstance(target, _Object):
            raise TypeError("it builds something else than an object")
        target.state = {key: value for key, value in state.items if isinstance(key, str)}


def _traces(rows: Sequence[object]) -> list[Trace]:
    counts: dict[tuple[int, int, int, int], int] = {}
    tracebacks: dict[int, _Frames] = {}
    room = _MOST_ITEMS
    for row in rows:
        match row:
            # Before 3.9 there was no number of frames.
            case (domain, size, tuple(frames), *total) if len(total) < 2:  # noqa: PLR2004
                if id(frames) not in tracebacks:
                    room -= len(frames)
                    tracebacks[id(frames)] = _frames(frames, room)
                number = _number(total[0], _MAX_LINE) if total else len(frames)
                key = (id(frames), _number(domain, _MAX_DOMAIN), _number(size, _MAX_SIZE), number)
                counts[key] = counts.get(key, 0) + 1
            case _:
                raise _no_snapshot("a trace is not a domain, a size and a traceback")
    return [
        Trace(domain, size, count, tracebacks[which], total) for (which, domain, size, total), count in counts.items()
    ]


def _frames(rows: tuple[object, ...], room: int) -> _Frames:
    if not 0 < len(rows) <= _MOST_FRAMES or room < 0:
        raise _no_snapshot("its tracebacks have no frames, or too many")
    return tuple(_frame(row) for row in reversed(rows))


def _frame(row: object) -> tuple[str, int]:
    match row:
        case (str(file), line) if len(file) <= _MAX_TEXT:
            return file, _number(line, _MAX_LINE)
    raise _no_snapshot("a frame is not a file and a line")


def _number(value: object, limit: int) -> int:
    if type(value) is not int or not 0 <= value < limit:
        raise _no_snapshot("a number is none, or out of range")
    return value


def _no_snapshot(why: str) -> UsageError:
    return UsageError(f"this is no snapshot file of tracemalloc: {why}", remedy="write one: Snapshot.dump(FILE)")


class _Tree:
    """The nodes of a profile as they are added."""

    def __init__(self) -> None:
        self._functions: dict[str, int] = {}
        self._locations: dict[tuple[int, int], int] = {}
        self._labels: dict[int, int] = {}
        self._steps: dict[tuple[int, int, int], int] = {}
        self._nodes = (array("i"), array("i"), array("i"))
        self._figures = tuple(array("q") for _ in MEMORY.columns)

    def add(self, trace: Trace) -> None:
        """Add the blocks of a trace, and the frames below it that are not there yet."""
        label, node = self._labels.setdefault(trace.domain, len(self._labels)), ROOT
        for file, line in trace.frames[:-1]:
            step = (node, self._location(file, line), label)
            found = self._steps.get(step)
            node = self._node(*step, (0, 0, 0)) if found is None else found
            self._steps[step] = node
        figures = (trace.count, trace.count * trace.size, trace.total_frames)
        self._node(node, self._location(*trace.frames[-1]), label, figures)

    def profile(self, header: Header) -> Profile:
        """Return it."""
        parents, locations, labels = self._nodes
        columns = zip(MEMORY.columns, self._figures, strict=True)
        return Profile(
            header=header,
            functions=tuple(Function("", "", file, 0) for file in self._functions),
            locations=tuple(Location(*place) for place in self._locations),
            labels=tuple(Label(0, "", header.pid, domain) for domain in self._labels),
            parents=parents,
            node_locations=locations,
            node_labels=labels,
            columns=tuple(Column(name, unit, values) for (name, unit), values in columns),
        )

    def _node(self, parent: int, location: int, label: int, figures: tuple[int, ...]) -> int:
        index = len(self._nodes[0])
        if index >= MAX_NODES:
            raise _no_snapshot(f"its tracebacks have more than {MAX_NODES} frames in all")
        for values, value in zip(self._nodes, (parent, location, label), strict=True):
            values.append(value)
        for values, value in zip(self._figures, figures, strict=True):
            values.append(value)
        return index

    def _location(self, file: str, line: int) -> int:
        function = self._functions.setdefault(file, len(self._functions))
        return self._locations.setdefault((function, line), len(self._locations))
