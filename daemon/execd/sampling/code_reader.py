"""Code objects of a foreign process: names, first line, line table, in some five reads each.

All is bounded; memory that is not what it should be ends in an Unreadable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.sampling.line_tables import LineTable
from execd.sampling.object_reader import NotAnObject, ObjectReader, word

if TYPE_CHECKING:
    from execd.attach.memory import Memory
    from execd.sampling.frame_layout import FrameLayout

# Of the code the length alone is read; a table of 1 MiB, of some 200,000 instructions, takes half a second to be read.
_CODE_LIMIT = 1 << 28
_TABLE_LIMIT = 1 << 20
_LINE_LIMIT = 1 << 31
UNIT = 2


@dataclass(frozen=True, slots=True)
class CodeObject:
    """A code object as it was when it was read.

    Attributes:
        address: where it lies.
        filename, name: as the target has them.
        qualname: the same as the name up to 3.10.
        first_line: co_firstlineno.
        length: bytes of its code.
        first_traceable: the byte offset before which a frame has not begun, and CPython shows it to nobody.
        fingerprint: what tells it from another one that lies there later.
        lines: where its instructions stand.
    """

    address: int
    filename: str
    name: str
    qualname: str
    first_line: int
    length: int
    first_traceable: int
    fingerprint: bytes
    lines: LineTable


@dataclass(frozen=True, slots=True)
class Unreadable:
    """No code object could be read at an address, and why."""

    address: int
    reason: str


class CodeReader:
    """Reads the code objects of one process.

    Args:
        memory: of the process.
        layout: that fits it.
    """

    def __init__(self, memory: Memory, layout: FrameLayout) -> None:
        self._version = layout.version
        self._fields = layout.code
        self._objects = ObjectReader(memory, layout.objects)

    def read(self, address: int) -> CodeObject | Unreadable:
        """Return the code object at an address, or why there is none. Raises TargetGone, NotPermitted."""
        try:
            return self._read(address)
        except NotAnObject as error:
            return Unreadable(address, str(error))

    def fingerprint(self, address: int) -> bytes:
        """Return what tells the code object at an address from others that lay there, b"" where there is none."""
        try:
            return self._fingerprint(self._head(address))
        except NotAnObject:
            return b""

    def first_traceable(self, address: int) -> int:
        """Return the first byte offset of a frame that has begun, 0 where that is not known."""
        try:
            return self._first_traceable(self._head(address))
        except NotAnObject:
            return 0

    def _head(self, address: int) -> bytes:
        head = self._objects.start(address, self._fields.read_size)
        self._objects.require_type(head, b"code")
        return head

    def _read(self, address: int) -> CodeObject:
        fields, objects, head = self._fields, self._objects, self._head(address)
        first_line = _int(head, fields.first_line)
        if not 0 <= first_line < _LINE_LIMIT:
            raise NotAnObject(f"a code object that begins on line {first_line}")
        name_address = word(head, fields.name)
        qualname_address = name_address if fields.qualname is None else word(head, fields.qualname)
        name = objects.text(name_address)
        length = self._length(head)
        return CodeObject(
            address=address,
            filename=objects.text(word(head, fields.filename)),
            name=name,
            qualname=name if qualname_address == name_address else objects.text(qualname_address),
            first_line=first_line,
            length=length,
            first_traceable=self._first_traceable(head),
            fingerprint=self._fingerprint(head),
            lines=LineTable.of(self._version, objects.data(word(head, fields.line_table), _TABLE_LIMIT), first_line),
        )

    def _length(self, head: bytes) -> int:
        fields = self._fields
        if fields.units is None:
            return self._objects.data_length(word(head, fields.code), _CODE_LIMIT)
        length = word(head, fields.units) * UNIT
        if length > _CODE_LIMIT:
            raise NotAnObject(f"a code object of {length} bytes")
        return length

    def _first_traceable(self, head: bytes) -> int:
        place = self._fields.first_traceable
        return 0 if place is None else _int(head, place) * UNIT

    def _fingerprint(self, head: bytes) -> bytes:
        return b"".join(head[start : start + length] for start, length in self._fields.fingerprint)


def _int(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "little", signed=True)
