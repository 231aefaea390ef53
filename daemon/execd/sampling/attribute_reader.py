"""Attributes of an object in a foreign process: of an instance of a class that is written in Python, by name.

3.9 and 3.10 keep them in the instance's dict; 3.11 and newer beside the instance, in the order of the keys that its
class has in common for all, until somebody asks for the dict. Offsets were computed with offsetof() on the headers of
3.9.18, 3.10.13, 3.11.7, 3.12.1 and 3.13.0; the keys of 3.14.8 and 3.15.0 were looked at in running ones. A table
that does not fit is noticed: a key has to be the str that is looked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from execd.attach.memory import Memory, Unmapped
from execd.sampling.object_reader import NotAnObject, ObjectReader, word

if TYPE_CHECKING:
    from execd.sampling.fields import ObjectFields

# PyTypeObject (Include/cpython/object.h): tp_basicsize, tp_dictoffset, in every version.
_BASIC_SIZE, _DICT_OFFSET = 32, 288
# PyHeapTypeObject: ht_cached_keys, whose class's flags have bit 9.
_CACHED_KEYS: Final = {(3, 9): 864, (3, 10): 872, (3, 11): 872, (3, 12): 880, (3, 13): 880, (3, 14): 880, (3, 15): 888}
_IS_HEAP_TYPE, _IS_MANAGED, _HAS_INLINE_VALUES = 1 << 9, 1 << 4, 1 << 2
_MANAGED_SINCE, _TAGGED_IN, _INLINE_SINCE = (3, 11), (3, 12), (3, 13)
# Before an instance whose dict is managed: pointer to the dict, in 3.12 with bit 0 to the values; in 3.11 that to the
# values before it (pycore_object.h).
_MANAGED_DICT, _MANAGED_VALUES = -24, -32
# PyDictObject (Include/cpython/dictobject.h): ma_keys, ma_values.
_DICT_KEYS, _DICT_VALUES = 32, 40
# Reference count and type.
_HEAD = 16
_ATTRIBUTES_LIMIT = 512
_LARGEST_LOG2 = 20


@dataclass(frozen=True, slots=True)
class KeyFields:
    """PyDictKeysObject (pycore_dict.h, to 3.10 dict-common.h): where its entries are told, and how large they are.

    Attributes:
        head: bytes before the index of the entries.
        count: dk_nentries.
        values: where the values begin in PyDictValues.
    """

    head: int
    count: int
    values: int


_KEYS_3_9: Final = KeyFields(head=40, count=32, values=0)
_KEYS_3_11: Final = KeyFields(head=32, count=24, values=0)
_KEYS_3_13: Final = KeyFields(head=32, count=24, values=8)


@dataclass(frozen=True, slots=True)
class _Class:
    """What a class says of its instances; `keys` is 0 where they have none in common."""

    basic_size: int
    dict_offset: int
    flags: int
    keys: int


@dataclass(frozen=True, slots=True)
class _Entries:
    """The entries of a table of keys: their addresses' steps, and the addresses of the keys themselves."""

    start: int
    step: int
    keys: tuple[int, ...]


class AttributeReader:
    """Reads attributes in one process. It remembers what it saw of classes, which may change: it is for one look.

    Args:
        memory: of the process.
        objects: of the same.
        fields: where things lie in objects.
        version: of its CPython.
    """

    def __init__(self, memory: Memory, objects: ObjectReader, fields: ObjectFields, version: tuple[int, int]) -> None:
        self._memory, self._objects, self._fields, self._version = memory, objects, fields, version
        self._keys = _KEYS_3_9 if version < _MANAGED_SINCE else _KEYS_3_13 if version >= _INLINE_SINCE else _KEYS_3_11
        self._before = -_MANAGED_VALUES if version >= _MANAGED_SINCE else 0
        self._classes: dict[int, _Class] = {}
        self._entries: dict[int, _Entries] = {}
        self._names: dict[int, str] = {}

    def find(self, address: int, name: str) -> int:
        """Return the address of what an attribute of an instance refers to.

        Args:
            address: of the instance.
            name: of the attribute.

        Raises:
            NotAnObject: it has none of that name, or there is no such instance.
        """
        try:
            keys, values = self._tables(address)
            entries = self._entries_of(keys)
            index = self._index(entries, name)
            beside_key = entries.start + entries.step * (index + 1) - 8
            return self._memory.read_u64(values + 8 * index if values else beside_key)
        except Unmapped as error:
            raise NotAnObject(error.message) from None

    def _tables(self, address: int) -> tuple[int, int]:
        """Return where the keys of an instance lie, and its values, 0 where they stand beside the keys."""
        head = self._memory.read(address - self._before, self._before + _HEAD)
        found = self._class(word(head, self._before + self._fields.type))
        if found.flags & _IS_MANAGED and self._before:
            values, dictionary = self._managed(address, head, found)
            if values:
                return found.keys, values
        elif found.dict_offset > 0:
            dictionary = self._memory.read_u64(address + found.dict_offset)
        else:
            raise NotAnObject("an instance without a dict")
        tables = self._memory.read(dictionary + _DICT_KEYS, _DICT_VALUES + 8 - _DICT_KEYS)
        values = word(tables, _DICT_VALUES - _DICT_KEYS)
        return word(tables, 0), values and values + self._keys.values

    def _managed(self, address: int, head: bytes, found: _Class) -> tuple[int, int]:
        """Return where an instance's values lie, 0 where they are in a dict, and the dict."""
        apart, dictionary = word(head, self._before + _MANAGED_VALUES), word(head, self._before + _MANAGED_DICT)
        if self._version == _MANAGED_SINCE:
            return apart, dictionary
        if self._version == _TAGGED_IN:
            return (dictionary + 1, 0) if dictionary & 1 else (0, dictionary)
        if dictionary or not found.flags & _HAS_INLINE_VALUES:
            return 0, dictionary
        return address + found.basic_size + self._keys.values, 0

    def _class(self, address: int) -> _Class:
        known = self._classes.get(address)
        if known is None:
            head = self._memory.read(address, _DICT_OFFSET + 8)
            flags = word(head, self._fields.type_flags)
            keys = self._memory.read_u64(address + _CACHED_KEYS[self._version]) if flags & _IS_HEAP_TYPE else 0
            known = _Class(word(head, _BASIC_SIZE), _signed(word(head, _DICT_OFFSET)), flags, keys)
            self._classes[address] = known
        return known

    def _entries_of(self, keys: int) -> _Entries:
        known = self._entries.get(keys)
        if known is None:
            head = self._memory.read(keys, self._keys.head)
            known = self._entries[keys] = self._read_entries(keys, head)
        return known

    def _read_entries(self, keys: int, head: bytes) -> _Entries:
        if self._version < _MANAGED_SINCE:
            size = word(head, 8)
            index_bytes, has_hash = size * _index_width(size), True
        else:
            index_log2, kind = head[9], head[10]
            if index_log2 > _LARGEST_LOG2:
                raise NotAnObject(f"a dict with an index of 2**{index_log2} bytes")
            index_bytes, has_hash = 1 << index_log2, kind == 0
        start, step = keys + self._keys.head + index_bytes, 24 if has_hash else 16
        count = min(word(head, self._keys.count), _ATTRIBUTES_LIMIT)
        data = self._memory.read(start, step * count) if count else b""
        return _Entries(start, step, tuple(word(data, step * (at + 1) - 16) for at in range(count)))

    def _index(self, entries: _Entries, name: str) -> int:
        for index, key in enumerate(entries.keys):
            # That of a removed entry is 0.
            if key and self._name(key) == name:
                return index
        raise NotAnObject(f"an instance without {name}")

    def _name(self, address: int) -> str:
        if address not in self._names:
            self._names[address] = self._objects.text(address)
        return self._names[address]


def _index_width(size: int) -> int:
    """Return how many bytes a place in an index of so many places takes (dict-common.h, 3.9 and 3.10)."""
    if size > 1 << _LARGEST_LOG2:
        raise NotAnObject(f"a dict with an index of {size} places")
    return 1 if size < 1 << 8 else 2 if size < 1 << 16 else 4


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
