"""Marshalled values read without `marshal`, which trusts what it reads: a stranger may have written them.

This reads the few types that files of statistics have, in all forms that the versions 0 to 5 of the format write them
in (Python/marshal.c); the importers check each value where it is used.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from execd.imports.pickle_reader import MAX_TEXT, Pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# A value with this bit is one that later ones refer to by its number.
_FLAG_REF = 0x80
_NULL, _REFERENCE = ord("0"), ord("r")
# Values from one look at the clock to the next.
_BATCH = 1000
# A file of statistics has four.
_MOST_DEPTH = 8
# UTF-8 has so many bytes a character at most.
_MOST_TEXT_BYTES = 4 * MAX_TEXT
# Of 15 bits each: more than any count has.
_MOST_DIGITS = 8
_DIGIT_BITS = 15
_INT32, _INT64 = struct.Struct("<i"), struct.Struct("<q")
_DOUBLE, _DIGIT = struct.Struct("<d"), struct.Struct("<H")


# What stands for a tuple or dictionary until all of it is read: nothing may refer to it so long.
_UNFINISHED = object()


def read_marshal(data: bytes, most_values: int, spend: Callable[[int], None]) -> object:
    """Return a value; its dictionaries are Pairs.

    Args:
        data: all of it.
        most_values: that it holds, of any kind.
        spend: is told of steps before they are made, and may raise.

    Raises:
        ValueError: it is cut off, has another type, is over the limits, or does not end where the data do.
    """
    reader = _Reader(data, most_values, spend)
    try:
        value = reader.value(0)
    except (IndexError, struct.error):
        raise ValueError("it is cut off") from None
    if reader.at != len(data):
        raise ValueError("it does not end where its value does")
    return value


class _Reader:
    """The data, how far they are read, and what can be referred to."""

    def __init__(self, data: bytes, most_values: int, spend: Callable[[int], None]) -> None:
        self.at = 0
        self._data, self._spend = data, spend
        self._room = most_values
        self._kept: list[object] = []
        forms: Mapping[str, Callable[[int], object]] = {
            "N": lambda _: None,
            "r": lambda _: self._referred(self._number(_INT32)),
            "i": lambda _: self._number(_INT32),
            "I": lambda _: self._number(_INT64),
            "l": lambda _: self._long(),
            "g": lambda _: self._double(),
            "f": lambda _: float(self._text(self._byte())),
            "(": lambda depth: self._tuple(self._number(_INT32), depth),
            ")": lambda depth: self._tuple(self._byte(), depth),
            "{": self._pairs,
            **dict.fromkeys("utaA", lambda _: self._text(self._number(_INT32))),
            **dict.fromkeys("zZ", lambda _: self._text(self._byte())),
        }
        self._forms = {ord(kind): form for kind, form in forms.items()}

    def value(self, depth: int) -> object:
        """Return the next value, at a depth of containers."""
        self._room -= 1
        if self._room < 0 or depth > _MOST_DEPTH:
            raise ValueError("it holds more than such a file does")
        if not self._room % _BATCH:
            self._spend(_BATCH)
        code = self._byte()
        form = self._forms.get(code & ~_FLAG_REF)
        if form is None:
            raise ValueError(f"it has the type {chr(code & ~_FLAG_REF)!a}")
        # A reference is none that others could mean.
        if not code & _FLAG_REF or code & ~_FLAG_REF == _REFERENCE:
            return form(depth)
        place = len(self._kept)
        self._kept.append(_UNFINISHED)
        self._kept[place] = value = form(depth)
        return value

    def _referred(self, place: int) -> object:
        value = self._kept[place] if 0 <= place < len(self._kept) else _UNFINISHED
        if value is _UNFINISHED:
            raise ValueError("it refers to what is not there")
        return value

    def _tuple(self, size: int, depth: int) -> tuple[object, ...]:
        # Each value takes a byte at least: no memory is set aside for what is not there.
        if not 0 <= size <= len(self._data) - self.at:
            raise ValueError("it is cut off")
        return tuple([self.value(depth + 1) for _ in range(size)])

    def _pairs(self, depth: int) -> Pairs:
        items: list[tuple[object, object]] = []
        while self._data[self.at] != _NULL:
            key = self.value(depth + 1)
            items.append((key, self.value(depth + 1)))
        self.at += 1
        return Pairs(items)

    def _long(self) -> int:
        size = self._number(_INT32)
        if abs(size) > _MOST_DIGITS:
            raise ValueError("a number is out of range")
        digits = [self._number(_DIGIT) for _ in range(abs(size))]
        number: int = sum(digit << place * _DIGIT_BITS for place, digit in enumerate(digits))
        return number if size >= 0 else -number

    def _text(self, size: int) -> str:
        if not 0 <= size <= _MOST_TEXT_BYTES:
            raise ValueError("a text is too long")
        return self._taken(size).decode("utf-8", "surrogatepass")

    def _number(self, form: struct.Struct) -> int:
        number: int = form.unpack_from(self._data, self.at)[0]
        self.at += form.size
        return number

    def _double(self) -> float:
        number: float = _DOUBLE.unpack_from(self._data, self.at)[0]
        self.at += _DOUBLE.size
        return number

    def _byte(self) -> int:
        byte = self._data[self.at]
        self.at += 1
        return byte

    def _taken(self, size: int) -> bytes:
        taken = self._data[self.at : self.at + size]
        if len(taken) != size:
            raise ValueError("it is cut off")
        self.at += size
        return taken
