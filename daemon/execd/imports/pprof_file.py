"""A profile of pprof (profile.proto, gzipped or not), of calls, samples or times."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from execd.errors import UsageError
from execd.imports.pickle_reader import MAX_TEXT
from execd.imports.protobuf_reader import fields, numbers, signed
from execd.imports.stacks import StackTree
from execd.model.collector import CALLS, SAMPLES
from execd.model.profile import BUILTIN_FILE, Function, Label

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from execd.model.profile import Header, Profile

GZIP = b"\x1f\x8b"
MAX_BYTES = 256 << 20
_MOST_ROWS = 2_000_000
_MOST_FRAMES_IN_ALL = 16_000_000
_MAX_LINE = 1 << 31
_MAX_FIGURE = 1 << 62
# Of a sample, a location, a function: a stack of some 200,000 frames.
_MAX_MESSAGE = 1 << 20
_GZIP_BITS = 31
# Fields of profile.proto's messages.
_TYPE, _SAMPLE, _LOCATION, _FUNCTION, _STRING = 1, 2, 4, 5, 6
_UNITS = {"nanoseconds": 1, "microseconds": 1_000, "milliseconds": 1_000_000, "seconds": 1_000_000_000}
# What profilers of several languages call the time that passed.
_WALL = frozenset({"wall", "time", "wall-time", "wall_time", "self"})
# The place of a column among those of a collector.
_PLACES: Final[Mapping[str, int]] = {
    name: place for one in (CALLS, SAMPLES) for place, (name, _) in enumerate(one.columns)
}


@dataclass(frozen=True, slots=True)
class _Value:
    """What becomes of one value of a sample: the column that it goes into, and how many of that it is."""

    index: int
    column: str
    factor: int


@dataclass(slots=True)
class _Tables:
    """What samples refer to, as it comes; texts are indexes into strings."""

    types: list[tuple[int, int]] = field(default_factory=list)
    strings: list[str] = field(default_factory=list)
    functions: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    # Function and line of each frame, the innermost first; and an address.
    locations: dict[int, tuple[list[tuple[int, int]], int]] = field(default_factory=dict)

    def text(self, index: int) -> str:
        """Return a text. Raises ValueError where there is none, or it is too long."""
        if index >= len(self.strings):
            raise ValueError("it refers to a text that is not there")
        return self.strings[index]


def profile_of(data: bytes, header: Header, spend: Callable[[int], None]) -> Profile:
    """Return a file's stacks as a profile: of calls where it counts calls, else of samples.

    Args:
        data: the file.
        header: where they come from; its collector is replaced.
        spend: is told of steps before they are made, and may raise.

    Raises:
        UsageError: it is no such file, is over the limits, or counts something else.
    """
    try:
        raw = _inflated(data)
        tables = _read(raw, spend)
        values, left_out = _chosen(tables)
        collector = CALLS if any(one.column == "calls" for one in values) else SAMPLES
        tree = StackTree(collector)
        _Samples(tables, tree, values, len(collector.columns)).add_all(raw, spend)
    except ValueError as error:
        raise UsageError(
            f"this is no profile of pprof: {error}", remedy="choose one that pprof shows, of calls, samples or a time"
        ) from None
    caveats = (*header.caveats, f"left out of the file: {', '.join(left_out)}") if left_out else header.caveats
    return tree.profile(replace(header, collector=collector.name, caveats=caveats))


def _inflated(data: bytes) -> bytes:
    if data[:2] != GZIP:
        return data
    stream = zlib.decompressobj(_GZIP_BITS)
    try:
        raw = stream.decompress(data, MAX_BYTES)
    except zlib.error:
        raise ValueError("what is gzipped is damaged") from None
    if stream.unconsumed_tail:
        raise ValueError(f"it has more than {MAX_BYTES >> 20} MiB")
    if not stream.eof or stream.unused_data:
        raise ValueError("what is gzipped is cut off, or more follows it")
    return raw


def _read(raw: bytes, spend: Callable[[int], None]) -> _Tables:
    tables, rows = _Tables(), 0
    for number, value in fields(raw):
        spend(1)
        if number not in (_TYPE, _LOCATION, _FUNCTION, _STRING):
            continue
        rows += 1
        if rows > _MOST_ROWS:
            raise ValueError(f"there are over {_MOST_ROWS} functions, locations and texts")
        row = _message(value, spend)
        if number == _STRING:
            tables.strings.append(row.decode("utf-8", "surrogateescape"))
            if len(tables.strings[-1]) > MAX_TEXT:
                raise ValueError(f"a text has more than {MAX_TEXT} characters")
        elif number == _TYPE:
            tables.types.append((_last(row, 1), _last(row, 2)))
        elif number == _FUNCTION:
            tables.functions[_last(row, 1)] = (_last(row, 2), _last(row, 4), _last(row, 5))
        else:
            tables.locations[_last(row, 1)] = (_lines(row), _last(row, 3))
    return tables


def _message(value: int | bytes, spend: Callable[[int], None]) -> bytes:
    """Return a field's value where it is a message, or a text, that may be read."""
    if not isinstance(value, bytes):
        raise ValueError("a field is no message")  # noqa: TRY004 - the file's value is wrong, not a type of ours
    if len(value) > _MAX_MESSAGE:
        raise ValueError(f"a field has over {_MAX_MESSAGE} bytes")
    spend(len(value))
    return value


def _last(message: bytes, number: int) -> int:
    """Return the number in a field, the last one as protobuf has it; 0 where it is not there."""
    found = 0
    for name, value in fields(message):
        if name == number:
            if not isinstance(value, int):
                raise ValueError("a field is no number")
            found = value
    return found


def _lines(location: bytes) -> list[tuple[int, int]]:
    lines = [value for name, value in fields(location) if name == 4]  # noqa: PLR2004 - Location.line
    return [(_last(line, 1), _last(line, 2)) for line in lines if isinstance(line, bytes)]


def _chosen(tables: _Tables) -> tuple[list[_Value], list[str]]:
    """Return which values are taken, and the names of those that are not."""
    named = [(tables.text(name), tables.text(unit)) for name, unit in tables.types]
    of_calls = ("calls", "count") in named
    chosen: dict[str, _Value] = {}
    left_out = []
    for index, (name, unit) in enumerate(named):
        column = _column(name, unit, of_calls=of_calls)
        if column and column not in chosen:
            chosen[column] = _Value(index, column, _UNITS.get(unit, 1))
        else:
            left_out.append(f"{name}/{unit}")
    if not chosen:
        raise ValueError(f"it counts {', '.join(left_out) or 'nothing'}, and neither calls nor samples nor a time")
    return list(chosen.values()), left_out


def _column(name: str, unit: str, *, of_calls: bool) -> str:
    """Return the column that a value goes into, "" for none."""
    if unit == "count":
        known = {"calls": "calls"} if of_calls else {"samples": "samples", "sample": "samples"}
        return known.get(name, "")
    if unit not in _UNITS or (name not in _WALL and name != "cpu"):
        return ""
    if of_calls:
        return "self_ns"
    return "cpu_ns" if name == "cpu" else "wall_ns"


class _Samples:
    """The samples of a file on their way into a tree."""

    def __init__(self, tables: _Tables, tree: StackTree, values: Sequence[_Value], columns: int) -> None:
        self._tables, self._tree, self._values = tables, tree, values
        self._columns = columns
        self._paths: dict[int, list[int]] = {}
        self._room = _MOST_FRAMES_IN_ALL

    def add_all(self, raw: bytes, spend: Callable[[int], None]) -> None:
        """Add each sample of a file."""
        for number, value in fields(raw):
            spend(1)
            if number != _SAMPLE:
                continue
            self._add(_message(value, spend))

    def _add(self, sample: bytes) -> None:
        places: list[int] = []
        values: list[int] = []
        labels: list[bytes] = []
        for number, value in fields(sample):
            if number == 1:
                places += numbers(value)
            elif number == 2:  # noqa: PLR2004 - Sample.value
                values += map(signed, numbers(value))
            elif isinstance(value, bytes):
                labels.append(value)
        if len(values) != len(self._tables.types):
            raise ValueError("a sample has not as many values as there are types")
        path = [frame for place in reversed(places) for frame in self._frames(place)]
        self._room -= len(path)
        if self._room < 0:
            raise ValueError(f"its stacks have over {_MOST_FRAMES_IN_ALL} frames in all")
        self._tree.add(path or [self._unknown("(no stack)")], self._label(labels), self._figures(values))

    def _figures(self, values: Sequence[int]) -> list[int]:
        figures = [0] * self._columns
        for one in self._values:
            figure = values[one.index] * one.factor
            if not 0 <= figure <= _MAX_FIGURE:
                raise ValueError("a value is negative, as of a difference of two profiles, or out of range")
            figures[_PLACES[one.column]] = figure
        return figures

    def _frames(self, place: int) -> list[int]:
        """Return the frames of a location, the outermost first: calls that were inlined have one each."""
        found = self._paths.get(place)
        if found is None:
            if place not in self._tables.locations:
                raise ValueError("it refers to a location that is not there")
            lines, address = self._tables.locations[place]
            found = [self._frame(function, line) for function, line in reversed(lines)]
            found = self._paths[place] = found or [self._unknown(f"0x{address:x}")]
        return found

    def _frame(self, number: int, line: int) -> int:
        if number not in self._tables.functions:
            raise ValueError("it refers to a function that is not there")
        name, file, first_line = self._tables.functions[number]
        if max(line, first_line) >= _MAX_LINE:
            raise ValueError("a line is out of range")
        return self._tree.location(_function(self._tables.text(name), self._tables.text(file), first_line), line)

    def _unknown(self, name: str) -> int:
        return self._tree.location(_function(name, "", 0), 0)

    def _label(self, labels: Sequence[bytes]) -> Label:
        """Return where a sample was seen, as far as execd's own files tell."""
        thread, thread_id, pid = "", 0, 0
        for label in labels:
            key = self._tables.text(_last(label, 1))
            if key == "thread":
                thread = self._tables.text(_last(label, 2))
            elif key in ("thread_id", "pid"):
                number = _last(label, 3)
                thread_id, pid = (number, pid) if key == "thread_id" else (thread_id, number)
        if max(thread_id, pid) > _MAX_FIGURE:
            raise ValueError("a label is out of range")
        return Label(thread_id, thread, pid)


def _function(name: str, file: str, first_line: int) -> Function:
    if file or not (name.startswith("{") and name.endswith("}")):
        return Function(name, name, file, first_line)
    # What execd writes of a C function.
    plain = f"<{name[1:-1]}>"
    return Function(plain, plain, BUILTIN_FILE, 0)
