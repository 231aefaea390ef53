"""A snapshot file of `tracemalloc` (Snapshot.dump); the two classes that it names stay names."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from execd.imports.allowance import freely
from execd.imports.pickle_reader import MAX_TEXT, PLAIN, Grammar, Object, read_pickle
from execd.model.collector import MEMORY
from execd.model.profile import MAX_NODES, ROOT, Column, Function, Header, Label, Location, Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MOST_FRAMES = 65_535
_MOST_FRAMES_IN_ALL = 16_000_000
_MAX_LINE, _MAX_DOMAIN, _MAX_SIZE = 1 << 31, 1 << 32, 1 << 48
_GRAMMAR = Grammar(
    what="snapshot file of tracemalloc",
    remedy="write one: Snapshot.dump(FILE)",
    opcodes=PLAIN | {"EMPTY_LIST", "APPEND", "APPENDS", "GLOBAL", "STACK_GLOBAL", "NEWOBJ", "BUILD"},
    # As many blocks have no room in a file.
    most_values=8_000_000,
    classes=frozenset({("tracemalloc", "Snapshot"), ("tracemalloc", "_Traces")}),
)

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


def read(data: bytes, spend: Callable[[int], None] = freely) -> Snapshot:
    """Return what a file holds.

    Args:
        data: the file.
        spend: is told of steps before they are made, and may raise.

    Raises:
        UsageError: it is no such file, or is over the limits.
    """
    match read_pickle(data, _GRAMMAR, spend):
        case Object("Snapshot", {"traces": Object("_Traces", {"_traces": list() | tuple() as rows}), **others}):
            limit = _GRAMMAR.number(others.get("traceback_limit"), _MOST_FRAMES + 1)
            return Snapshot(tuple(_traces(rows, spend)), limit)
    raise _GRAMMAR.refusal("it holds something else")


def profile_of(snapshot: Snapshot, header: Header, spend: Callable[[int], None] = freely) -> Profile:
    """Return a file's blocks as a profile of the memory collector.

    Args:
        snapshot: as read.
        header: where it comes from; its collector is replaced.
        spend: as of `read`: one traceback may be that of blocks of many sizes.

    Raises:
        UsageError: its tracebacks have more frames in all than a profile may hold.
    """
    tree = _Tree()
    for trace in snapshot.traces:
        spend(len(trace.frames))
        tree.add(trace)
    extra = {**header.extra, "traceback_limit": snapshot.traceback_limit}
    return tree.profile(replace(header, collector=MEMORY.name, extra=extra))


def _traces(rows: Sequence[object], spend: Callable[[int], None]) -> list[Trace]:
    counts: dict[tuple[int, int, int, int], int] = {}
    tracebacks: dict[int, _Frames] = {}
    room = _MOST_FRAMES_IN_ALL
    for row in rows:
        spend(1)
        match row:
            # Before 3.9 there was no number of frames.
            case (domain, size, tuple(frames), *total) if len(total) < 2:  # noqa: PLR2004
                if id(frames) not in tracebacks:
                    spend(len(frames))
                    room -= len(frames)
                    tracebacks[id(frames)] = _frames(frames, room)
                number = _GRAMMAR.number(total[0], _MAX_LINE) if total else len(frames)
                key = (id(frames), _GRAMMAR.number(domain, _MAX_DOMAIN), _GRAMMAR.number(size, _MAX_SIZE), number)
                counts[key] = counts.get(key, 0) + 1
            case _:
                raise _GRAMMAR.refusal("a trace is not a domain, a size and a traceback")
    return [
        Trace(domain, size, count, tracebacks[which], total) for (which, domain, size, total), count in counts.items()
    ]


def _frames(rows: tuple[object, ...], room: int) -> _Frames:
    if not 0 < len(rows) <= _MOST_FRAMES or room < 0:
        raise _GRAMMAR.refusal("its tracebacks have no frames, or too many")
    return tuple(_frame(row) for row in reversed(rows))


def _frame(row: object) -> tuple[str, int]:
    match row:
        case (str(file), line) if len(file) <= MAX_TEXT:
            return file, _GRAMMAR.number(line, _MAX_LINE)
    raise _GRAMMAR.refusal("a frame is not a file and a line")


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
            raise _GRAMMAR.refusal(f"its tracebacks have more than {MAX_NODES} frames in all")
        for values, value in zip(self._nodes, (parent, location, label), strict=True):
            values.append(value)
        for values, value in zip(self._figures, figures, strict=True):
            values.append(value)
        return index

    def _location(self, file: str, line: int) -> int:
        function = self._functions.setdefault(file, len(self._functions))
        return self._locations.setdefault((function, line), len(self._locations))
