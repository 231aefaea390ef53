"""Messages of protobuf read field by field: a stranger wrote them, and objects of them take far more memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MORE, _SEVEN_BITS = 0x80, 0x7F
_MOST_BITS = 64
_SIGN, _MODULUS = 1 << 63, 1 << 64


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field: of a number, or of bytes (a text, a message, packed numbers).

    Raises:
        ValueError: the data are cut off, or hold what the format has not.
    """
    at, size = 0, len(data)
    while at < size:
        key, at = _varint(data, at)
        kind, value = key & 7, 0
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field has the type {kind}")
        if length > size - at:
            raise ValueError("it is cut off")
        yield key >> 3, data[at : at + length]
        at += length


def numbers(value: int | bytes) -> list[int]:
    """Return the numbers of a repeated field: one, or several that are packed. Raises ValueError for others."""
    if isinstance(value, int):
        return [value]
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(number)
    return found


def signed(number: int) -> int:
    """Return a number as int64."""
    return number - _MODULUS if number >= _SIGN else number


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    try:
        while (byte := data[at]) & _MORE:
            value |= (byte & _SEVEN_BITS) << shift
            shift += 7
            at += 1
            if shift >= _MOST_BITS:
                raise ValueError("a number is out of range")
    except IndexError:
        raise ValueError("it is cut off") from None
    return (value | byte << shift) & (_MODULUS - 1), at + 1
