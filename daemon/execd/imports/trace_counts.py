"""The counts file of `trace` (its option --file), read without unpickling: a stranger may have written it.

An unpickler that resolves no names is still a machine that a file can make hash endless tuples, or reserve memory for
a memo. This reads the few opcodes that such a file has and checks each value where it is used.
"""

from __future__ import annotations

import pickletools
from array import array
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.model.collector import collector_of
from execd.model.profile import ROOT, Column, Function, Header, Label, Location, Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# A million lines of long paths, which a pickle holds once each.
MAX_BYTES = 64 << 20
MAX_ENTRIES = 1_000_000
# What a file has beside its entries.
_SPARE = 1000
_MAX_TEXT = 4096
_MAX_LINE = 1 << 31
_MAX_COUNT = 1 << 62
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = frozenset(
    {"BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1"}
)
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = frozenset({"PROTO", "FRAME"})

# File, module, function.
Named = tuple[str, str, str]
# File and function, line, parent, figure.
_Row = tuple[tuple[str, str], int, int, int]


@dataclass(frozen=True, slots=True)
class TraceCounts:
    """What a counts file holds.

    Attributes:
        counts: how often a line of a file ran.
        functions: those that were called.
        callers: who called whom.
    """

    counts: Mapping[tuple[str, int], int]
    functions: frozenset[Named]
    callers: frozenset[tuple[Named, Named]]


class _Mark:
    """What MARK puts on the stack."""


class _Pairs:
    """A dictionary as it comes: keys are not hashed before they are checked."""

    def __init__(self) -> None:
        self.items: list[tuple[object, object]] = []


def read(data: bytes) -> TraceCounts:
    """Return what a counts file holds.

    Raises:
        UsageError: it is no such file, or is over the limits.
    """
    if len(data) > MAX_BYTES:
        raise UsageError(f"a counts file of {len(data) >> 20} MiB is over the limit of {MAX_BYTES >> 20}")
    match _unpickled(data):
        case (_Pairs() as counts, _Pairs() as functions, _Pairs() as callers):
            return TraceCounts(
                {_place(key): _number(value, _MAX_COUNT) for key, value in counts.items},
                frozenset(_named(key) for key, _ in functions.items),
                frozenset(_pair(key) for key, _ in callers.items),
            )
    raise _no_counts("it is not three dictionaries")


def _unpickled(data: bytes) -> object:
    """Return the value of a pickle of texts, numbers, tuples and dictionaries."""
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return machine.result()
            machine.step(opcode.name, argument)
    except (ValueError, IndexError, KeyError, UnicodeError, MemoryError, OverflowError) as error:
        raise _no_counts(str(error)[:200]) from None
    raise _no_counts("it has no end")


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self) -> None:
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}
        self._entries = 0
        self._dictionaries = 0
        self._steps: Mapping[str, Callable[[], None]] = {
            "MARK": lambda: self._stack.append(_Mark()),
            "EMPTY_DICT": self._empty_dict,
            "EMPTY_TUPLE": lambda: self._stack.append(()),
            "TUPLE": lambda: self._stack.append(tuple(self._since_mark())),
            "DICT": self._dict,
            "SETITEM": lambda: self._set([self._stack.pop(), self._stack.pop()][::-1]),
            "SETITEMS": lambda: self._set(self._since_mark()),
            "MEMOIZE": lambda: self._memo.update({len(self._memo): self._stack[-1]}),
        }

    def step(self, name: str, argument: object) -> None:
        """Do what one opcode says."""
        if max(len(self._stack), len(self._memo) // 2) > MAX_ENTRIES + _SPARE or self._dictionaries > _SPARE:
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

    def _dict(self) -> None:
        values = self._since_mark()
        self._empty_dict()
        self._set(values)

    def _empty_dict(self) -> None:
        self._dictionaries += 1
        self._stack.append(_Pairs())

    def _set(self, values: list[object]) -> None:
        target = self._stack[-1]
        self._entries += len(values) // 2
        if not isinstance(target, _Pairs) or len(values) % 2 or self._entries > MAX_ENTRIES:
            raise ValueError(f"a dictionary does not fit, or there are over {MAX_ENTRIES} entries")
        target.items += zip(values[::2], values[1::2], strict=True)


def _place(key: object) -> tuple[str, int]:
    match key:
        case (str(path), int(line)) if len(path) <= _MAX_TEXT:
            return path, _number(line, _MAX_LINE)
    raise _no_counts("a place is not a file and a line")


def _named(value: object) -> Named:
    match value:
        case (str(file), str(module), str(name)) if all(len(part) <= _MAX_TEXT for part in (file, module, name)):
            return file, module, name
    raise _no_counts("a function is not a file, a module and a name")


def _pair(value: object) -> tuple[Named, Named]:
    match value:
        case (caller, callee):
            return _named(caller), _named(callee)
    raise _no_counts("a call is not of a caller and a callee")


def _number(value: object, limit: int) -> int:
    if type(value) is not int or not 0 <= value < limit:
        raise _no_counts("a count or a line is no number, or out of range")
    return value


def _no_counts(why: str) -> UsageError:
    return UsageError(
        f"this is no counts file of trace: {why}", remedy="write one: python -m trace --count --file FILE"
    )


def profiles(counts: TraceCounts, header: Header) -> list[Profile]:
    """Return what a counts file holds as profiles of lines, functions and callers: those of which there is something.

    Args:
        counts: as read.
        header: where they come from; its collector is replaced.
    """
    lines = [((path, "<module>"), line, ROOT, count) for (path, line), count in sorted(counts.counts.items())]
    called = [((file, name), 0, ROOT, 1) for file, _, name in sorted(counts.functions)]
    made = {"lines": lines, "functions": called, "callers": _callers(counts)}
    return [_profile(replace(header, collector=name), rows) for name, rows in made.items() if rows]


def _callers(counts: TraceCounts) -> list[_Row]:
    rows: list[_Row] = []
    for (file, _, name), (callee_file, _, callee_name) in sorted(counts.callers):
        rows.append(((file, name), 0, ROOT, 0))
        rows.append(((callee_file, callee_name), 0, len(rows) - 1, 1))
    return rows


def _profile(header: Header, rows: list[_Row]) -> Profile:
    functions = {key: index for index, key in enumerate(dict.fromkeys(row[0] for row in rows))}
    locations = {key: index for index, key in enumerate(dict.fromkeys((functions[row[0]], row[1]) for row in rows))}
    ((column, unit),) = collector_of(header.collector).columns
    return Profile(
        header=header,
        functions=tuple(Function(name.rpartition(".")[2], name, file, 0) for file, name in functions),
        locations=tuple(Location(*place) for place in locations),
        labels=(Label(0, "", header.pid),),
        parents=array("i", [parent for _, _, parent, _ in rows]),
        node_locations=array("i", [locations[functions[key], line] for key, line, _, _ in rows]),
        node_labels=array("i", bytes(4 * len(rows))),
        columns=(Column(column, unit, array("q", [count for *_, count in rows])),),
    )
