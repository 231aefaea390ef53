"""Text and bytes of a foreign process, each object in one read where it is short; all that it says is bounded."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from execd.attach.memory import Memory, Unmapped

if TYPE_CHECKING:
    from execd.sampling.fields import ObjectFields

# A name is a few dozen characters, a path a hundred or two: with its head it comes in one read.
_FIRST_READ = 256
_PAGE = 4096
# The longest path of the kernel; a longer name is cut, and ends in "…".
TEXT_LIMIT = 4096
_CUT = "…"
_TYPE_NAME_LIMIT = 32
_IS_TEXT, _IS_BYTES = 1 << 28, 1 << 27
_KINDS = {1: "B", 2: "H", 4: "I"}
_WIDE = 4
_LAST_CHARACTER = 0x10FFFF


class NotAnObject(Exception):
    """What lies at an address is not what it should be."""


class ObjectReader:
    """Reads objects of one process; remembers which types are str, bytes and code: their addresses never change.

    Args:
        memory: of the process.
        fields: where things lie in objects.
    """

    def __init__(self, memory: Memory, fields: ObjectFields) -> None:
        self._memory = memory
        self._fields = fields
        self._known: set[tuple[int, int | bytes]] = set()

    def text(self, address: int) -> str:
        """Return a str; one of more than TEXT_LIMIT characters is cut. Lone surrogates stay as they are.

        Raises:
            NotAnObject: there is none.
        """
        fields, head = self._fields, self.start(address, _FIRST_READ, self._fields.ascii_size)
        self._require(head, _IS_TEXT)
        state, length = _number(head, fields.text_state, 4), word(head, fields.text_length)
        kind, compact, ascii_only = state >> 2 & 7, state >> 5 & 1, state >> 6 & 1
        if compact:
            place = address + (fields.ascii_size if ascii_only else fields.compact_size)
        elif kind == 0 and fields.wide_text is not None and fields.wide_length is not None:
            head = self.start(address, fields.wide_length + 8)
            kind, place, length = _WIDE, word(head, fields.wide_text), word(head, fields.wide_length)
        else:
            place = word(self.start(address, fields.text_data + 8), fields.text_data)
        if kind not in _KINDS:
            raise NotAnObject(f"a str of kind {kind}")
        data = self._rest(address, head, place, min(length, TEXT_LIMIT) * kind)
        return _characters(data, kind) + (_CUT if length > TEXT_LIMIT else "")

    def data(self, address: int, limit: int) -> bytes:
        """Return a bytes object.

        Args:
            address: where it lies.
            limit: how many bytes it may have.

        Raises:
            NotAnObject: there is none, or a longer one.
        """
        head = self.start(address, _FIRST_READ, self._fields.bytes_data)
        length = self._length(head, limit)
        return self._rest(address, head, address + self._fields.bytes_data, length)

    def data_length(self, address: int, limit: int) -> int:
        """Return the length of a bytes object alone. Raises as `data` does."""
        return self._length(self.start(address, self._fields.bytes_data), limit)

    def require_type(self, head: bytes, name: bytes) -> None:
        """Raise NotAnObject where the type of the object that begins so has another name."""
        address = word(head, self._fields.type)
        if (address, name) in self._known:
            return
        place = word(self.start(address, self._fields.type_name + 8), self._fields.type_name)
        found = self.start(place, _TYPE_NAME_LIMIT, len(name) + 1).partition(b"\0")[0]
        if found != name:
            raise NotAnObject(f"a {found.decode('ascii', 'replace')}, not a {name.decode()}")
        self._known.add((address, name))

    def start(self, address: int, length: int, least: int = 0) -> bytes:
        """Return the bytes at an address, fewer where its page is the last one.

        Args:
            address: where to begin.
            length: how many are wanted, a page at most.
            least: how many will do; 0: all of them.

        Raises:
            NotAnObject: they are not there.
        """
        to_page_end = _PAGE - address % _PAGE
        wanted = [length, to_page_end] if least and least <= to_page_end < length else [length]
        reason = ""
        for size in wanted:
            try:
                return self._memory.read(address, size)
            except Unmapped as error:
                reason = error.message
        raise NotAnObject(reason)

    def _length(self, head: bytes, limit: int) -> int:
        self._require(head, _IS_BYTES)
        length = word(head, self._fields.size)
        if length > limit:
            raise NotAnObject(f"{length} bytes, where {limit} are the most")
        return length

    def _rest(self, address: int, head: bytes, place: int, length: int) -> bytes:
        """Return what lies at a place, from the object's first bytes where it is among them."""
        begin = place - address
        if begin >= 0 and begin + length <= len(head):
            return head[begin : begin + length]
        try:
            return self._memory.read(place, length)
        except Unmapped as error:
            raise NotAnObject(error.message) from None

    def _require(self, head: bytes, flag: int) -> None:
        address = word(head, self._fields.type)
        if (address, flag) in self._known:
            return
        place = self._fields.type_flags
        if not word(self.start(address + place, 8), 0) & flag:
            raise NotAnObject("a str" if flag == _IS_BYTES else "no str")
        self._known.add((address, flag))


def word(data: bytes, offset: int) -> int:
    """Return the 8-byte word at an offset."""
    return _number(data, offset, 8)


def _number(data: bytes, offset: int, size: int) -> int:
    return int.from_bytes(data[offset : offset + size], "little")


def _characters(data: bytes, kind: int) -> str:
    if kind == 1:
        return data.decode("latin-1")
    codes = struct.unpack(f"<{len(data) // kind}{_KINDS[kind]}", data)
    if codes and max(codes) > _LAST_CHARACTER:
        raise NotAnObject(f"a str with a character {max(codes):#x}")
    return "".join(map(chr, codes))
