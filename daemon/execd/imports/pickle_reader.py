"""Pickles read without unpickling: a stranger may have written them.

An unpickler that resolves no names is still a machine that a file can make hash endless tuples, or reserve memory for
a memo. This reads the few opcodes that a grammar has; the importers check each value where it is used.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MAX_BYTES = 64 << 20
MAX_TEXT = 4096
_MOST_STEPS = 20_000_000
# Dictionaries, lists and objects: a file has some few, and they are large when they are empty.
_MOST_CONTAINERS = 1000
_PROTO, _NEWEST_PROTOCOL = b"\x80", 5
_CONSTANTS: Mapping[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_VALUES = frozenset(
    {"BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1"}
)
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = frozenset({"PROTO", "FRAME"})
_WRONG = (ValueError, IndexError, KeyError, TypeError, UnicodeError, MemoryError, OverflowError)
# Texts, numbers, tuples and dictionaries as the protocols from 1 on have them.
PLAIN = _IGNORED.union(
    ("NONE", "BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINUNICODE"),
    ("EMPTY_TUPLE", "MARK", "TUPLE", *_TUPLES, "EMPTY_DICT", "SETITEM", "SETITEMS"),
    ("PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET", "MEMOIZE"),
)


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a kind of file may hold.

    Attributes:
        what: such a file is called.
        remedy: how one is written.
        opcodes: that it has.
        classes: module and name of those that it names.
        most_values: that it builds, of one kind: tuples, memo, stack.
    """

    what: str
    remedy: str
    opcodes: frozenset[str]
    most_values: int
    classes: frozenset[tuple[str, str]] = frozenset()

    def refusal(self, why: str) -> UsageError:
        """Return the error of a file that is none of these."""
        return UsageError(f"this is no {self.what}: {why}", remedy=self.remedy)

    def number(self, value: object, limit: int) -> int:
        """Return a whole number from 0 to below a limit. Raises UsageError where it is none."""
        if type(value) is not int or not 0 <= value < limit:
            raise self.refusal("a number is none, or out of range")
        return value


@dataclass(slots=True)
class Object:
    """A class, or an object of it: the name, and what it is built of."""

    name: str
    state: Mapping[str, object] | None = None


@dataclass(slots=True)
class Pairs:
    """A dictionary as it comes: keys are not hashed before they are checked."""

    items: list[tuple[object, object]]


class _Mark:
    """What MARK puts on the stack."""


def read_pickle(data: bytes, grammar: Grammar) -> object:
    """Return the value of a pickle; its dictionaries are Pairs, its objects Object.

    Raises:
        UsageError: it is none of the grammar, or is over the limits.
    """
    if len(data) > MAX_BYTES:
        raise UsageError(f"a {grammar.what} of {len(data) >> 20} MiB is over the limit of {MAX_BYTES >> 20}")
    if data[:1] == _PROTO and data[1:2] > bytes([_NEWEST_PROTOCOL]):
        raise grammar.refusal(
            f"it is of pickle's protocol {data[1]}, and {_NEWEST_PROTOCOL} is the newest that is read"
        )
    machine = _Machine(grammar)
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return machine.result()
            machine.step(opcode.name, argument)
    except _WRONG as error:
        raise grammar.refusal(str(error)[:200]) from None
    raise grammar.refusal("it has no end")


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}
        self._steps = self._tuples = self._containers = 0
        self._actions: Mapping[str, Callable[[], None]] = {
            "MARK": lambda: self._stack.append(_Mark()),
            "EMPTY_DICT": lambda: self._contain(Pairs([])),
            "EMPTY_LIST": lambda: self._contain([]),
            "TUPLE": lambda: self._tuple(self._since_mark()),
            "DICT": self._dict,
            "APPEND": lambda: self._append(self._popped(1)),
            "APPENDS": lambda: self._append(self._since_mark()),
            "SETITEM": lambda: self._set(self._popped(2)),
            "SETITEMS": lambda: self._set(self._since_mark()),
            "MEMOIZE": lambda: self._memo.update({len(self._memo): self._stack[-1]}),
            "STACK_GLOBAL": lambda: self._name(*self._popped(2)),
            "NEWOBJ": self._new,
            "BUILD": self._build,
        }

    def step(self, name: str, argument: object) -> None:
        """Do what one opcode says."""
        self._steps += 1
        built = max(len(self._stack), len(self._memo), self._tuples)
        if built > self._grammar.most_values or self._containers > _MOST_CONTAINERS or self._steps > _MOST_STEPS:
            raise ValueError("it builds more than such a file has")
        if name not in self._grammar.opcodes:
            raise ValueError(f"it has the opcode {name}")
        if name in _VALUES:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            self._tuple(self._popped(_TUPLES[name]))
        elif name.endswith("PUT") and isinstance(argument, int):
            self._memo[argument] = self._stack[-1]
        elif name.endswith("GET") and isinstance(argument, int):
            self._stack.append(self._memo[argument])
        elif name == "GLOBAL" and isinstance(argument, str):
            self._name(*argument.split(" ", 1))
        elif name not in _IGNORED:
            self._actions[name]()

    def result(self) -> object:
        """Return the value that is left."""
        (value,) = self._stack
        return value

    def _popped(self, count: int) -> list[object]:
        return [self._stack.pop() for _ in range(count)][::-1]

    def _since_mark(self) -> list[object]:
        values: list[object] = []
        while not isinstance(value := self._stack.pop(), _Mark):
            values.append(value)
        return values[::-1]

    def _tuple(self, values: Sequence[object]) -> None:
        self._tuples += 1
        self._stack.append(tuple(values))

    def _contain(self, container: object) -> None:
        self._containers += 1
        self._stack.append(container)

    def _dict(self) -> None:
        values = self._since_mark()
        self._contain(Pairs([]))
        self._set(values)

    def _append(self, values: Sequence[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise TypeError("it appends to something else than a list")
        target += values

    def _set(self, values: Sequence[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, Pairs) or len(values) % 2:
            raise ValueError("a dictionary does not fit")
        target.items += zip(values[::2], values[1::2], strict=True)

    def _name(self, module: object, name: object) -> None:
        if not isinstance(name, str) or (module, name) not in self._grammar.classes:
            raise ValueError(f"it names {module!a}.{name!a}")
        self._contain(Object(name))

    def _new(self) -> None:
        kind, arguments = self._popped(2)
        if arguments != () or not isinstance(kind, Object):
            raise ValueError("it makes an object of something else")
        self._contain(Object(kind.name))

    def _build(self) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if not isinstance(state, Pairs) or not isinstance(target, Object):
            raise TypeError("it builds something else than an object")
        target.state = {key: value for key, value in state.items if isinstance(key, str)}
