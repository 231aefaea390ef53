"""Pickles read without unpickling: a stranger may have written them.

An unpickler that resolves no names is still a machine that a file can make hash endless tuples, or reserve memory for
a memo. This reads the few opcodes that a grammar has; the importers check each value where it is used.
"""

from __future__ import annotations

import io
import pickletools
import struct
from dataclasses import dataclass
from functools import partial
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
_VALUES = frozenset({"UNICODE", "INT", "LONG", "LONG1"})
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = frozenset({"PROTO", "FRAME"})
# The numbers that stand in a pickle, by the opcodes that they stand behind.
_INT, _BYTE, _SHORT, _LONG = (struct.Struct(form) for form in ("<i", "<B", "<H", "<I"))
_INTEGERS = {"INT": _INT, "INT1": _BYTE, "INT2": _SHORT}
_PLACES = {"BIN": _BYTE, "LONG_BIN": _LONG}
_SIZES = {"": _LONG, "SHORT_": _BYTE}
_STOP = ord(".")
# Steps from one look at the limits to the next.
_BATCH = 1000
_WRONG = (ValueError, IndexError, KeyError, TypeError, UnicodeError, MemoryError, OverflowError, struct.error)
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


# What MARK puts on the stack.
_MARK = object()


def read_pickle(data: bytes, grammar: Grammar, spend: Callable[[int], None]) -> object:
    """Return the value of a pickle; its dictionaries are Pairs, its objects Object.

    Args:
        data: all of it.
        grammar: what it may hold.
        spend: is told of steps before they are made, and may raise.

    Raises:
        UsageError: it is none of the grammar, or is over the limits.
    """
    if len(data) > MAX_BYTES:
        raise UsageError(f"a {grammar.what} of {len(data) >> 20} MiB is over the limit of {MAX_BYTES >> 20}")
    if data[:1] == _PROTO and data[1:2] > bytes([_NEWEST_PROTOCOL]):
        raise grammar.refusal(
            f"it is of pickle's protocol {data[1]}, and {_NEWEST_PROTOCOL} is the newest that is read"
        )
    try:
        return _Machine(data, grammar, spend).result()
    except _WRONG as error:
        raise grammar.refusal(str(error)[:200]) from None


class _Machine:
    """The stack and the memo of one pickle, and how far it is read."""

    def __init__(self, data: bytes, grammar: Grammar, spend: Callable[[int], None]) -> None:
        self._data, self._grammar, self._spend = data, grammar, spend
        self._file = io.BytesIO(data)
        self._at = 0
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}
        self._steps = self._tuples = self._containers = 0
        named = self._named_actions()
        self._actions: list[Callable[[], None]] = [partial(self._refuse, f"{code:#04x}") for code in range(256)]
        for opcode in pickletools.opcodes:
            is_known = opcode.name in grammar.opcodes
            action = named.get(opcode.name) or partial(self._act, opcode)
            self._actions[ord(opcode.code)] = action if is_known else partial(self._refuse, opcode.name)

    def result(self) -> object:
        """Return the value that is left at its end."""
        data, size, actions = self._data, len(self._data), self._actions
        while True:
            self._check()
            for _ in range(_BATCH):
                if self._at >= size:
                    raise ValueError("it has no end")
                code = data[self._at]
                self._at += 1
                if code == _STOP:
                    (value,) = self._stack
                    return value
                actions[code]()

    def _named_actions(self) -> Mapping[str, Callable[[], None]]:
        push = self._stack.append
        return {
            "MARK": lambda: push(_MARK),
            "EMPTY_DICT": lambda: self._contain(Pairs([])),
            "EMPTY_LIST": lambda: self._contain([]),
            "TUPLE": lambda: self._tuple(self._since_mark()),
            **{name: partial(self._tuple_of, size) for name, size in _TUPLES.items()},
            **{name: partial(push, value) for name, value in _CONSTANTS.items()},
            "DICT": self._dict,
            "APPEND": lambda: self._append(self._popped(1)),
            "APPENDS": lambda: self._append(self._since_mark()),
            "SETITEM": lambda: self._set(self._popped(2)),
            "SETITEMS": lambda: self._set(self._since_mark()),
            "MEMOIZE": lambda: self._memo.update({len(self._memo): self._stack[-1]}),
            "STACK_GLOBAL": lambda: self._name(*self._popped(2)),
            "NEWOBJ": self._new,
            "BUILD": self._build,
            **{f"BIN{name}": partial(self._push_number, form) for name, form in _INTEGERS.items()},
            **{f"{name}GET": partial(self._get, form) for name, form in _PLACES.items()},
            **{f"{name}PUT": partial(self._put, form) for name, form in _PLACES.items()},
            **{f"{name}BINUNICODE": partial(self._push_text, form) for name, form in _SIZES.items()},
        }

    def _check(self) -> None:
        self._spend(_BATCH)
        self._steps += _BATCH
        built = max(len(self._stack), len(self._memo), self._tuples)
        if built > self._grammar.most_values or self._containers > _MOST_CONTAINERS or self._steps > _MOST_STEPS:
            raise ValueError("it builds more than such a file has")

    def _refuse(self, name: str) -> None:
        raise ValueError(f"it has the opcode {name}")

    def _act(self, opcode: pickletools.OpcodeInfo) -> None:
        """Do what an opcode says that is seldom, its argument read as pickletools reads it."""
        argument: object = None
        if opcode.arg is not None:
            self._file.seek(self._at)
            argument = opcode.arg.reader(self._file)
            self._at = self._file.tell()
        if opcode.name in _VALUES:
            self._stack.append(argument)
        elif opcode.name == "PUT" and isinstance(argument, int):
            self._memo[argument] = self._stack[-1]
        elif opcode.name == "GET" and isinstance(argument, int):
            self._stack.append(self._memo[argument])
        elif opcode.name == "GLOBAL" and isinstance(argument, str):
            self._name(*argument.split(" ", 1))
        elif opcode.name not in _IGNORED:
            self._refuse(opcode.name)

    def _number(self, form: struct.Struct) -> int:
        number: int = form.unpack_from(self._data, self._at)[0]
        self._at += form.size
        return number

    def _push_number(self, form: struct.Struct) -> None:
        self._stack.append(self._number(form))

    def _push_text(self, form: struct.Struct) -> None:
        size = self._number(form)
        text = self._data[self._at : self._at + size]
        if len(text) != size:
            raise ValueError("it is cut off")
        self._at += size
        self._stack.append(text.decode("utf-8", "surrogatepass"))

    def _get(self, form: struct.Struct) -> None:
        self._stack.append(self._memo[self._number(form)])

    def _put(self, form: struct.Struct) -> None:
        self._memo[self._number(form)] = self._stack[-1]

    def _popped(self, count: int) -> list[object]:
        return [self._stack.pop() for _ in range(count)][::-1]

    def _since_mark(self) -> list[object]:
        values: list[object] = []
        while (value := self._stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def _tuple_of(self, size: int) -> None:
        if len(self._stack) < size:
            raise IndexError("its stack is empty")
        self._tuples += 1
        self._stack[-size:] = [tuple(self._stack[-size:])]

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
        # One state may be built of as often as a file likes.
        self._spend(len(state.items))
        target.state = {key: value for key, value in state.items if isinstance(key, str)}
