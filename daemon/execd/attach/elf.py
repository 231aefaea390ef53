"""Dynamic symbols of ELF images, in a file or as a process has them in its memory.

A stranger's bytes: every failure is NotAnElf, every count is bounded, and nothing is read that is not asked for. Only
what a loader needs is looked at, the segments: sections may be stripped, and are not loaded.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    # (place, length) to bytes; fewer than that mean that they are not there.
    Read = Callable[[int, int], bytes]

# Little-endian, 64 bits, x86_64 (elf.h); the rest of the identification varies between systems.
_IDENTIFICATION = b"\x7fELF\x02\x01\x01"
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_MACHINE = 62
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SEGMENTS_LIMIT = 256
_PT_LOAD, _PT_DYNAMIC = 1, 2
_TAG = struct.Struct("<QQ")
_TAGS_LIMIT = 512
_DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_GNU_HASH = 4, 5, 6, 0x6FFFFEF5
_SYMBOL = struct.Struct("<IBBHQQ")
_GNU_HASH = struct.Struct("<IIII")
_WORD = struct.Struct("<I")
# A libpython has 5,000 symbols in as many buckets; a chain of thousands is none that a linker made.
_CHAIN_LIMIT = 4096
_ADDRESS_LIMIT = 1 << 47


class NotAnElf(Exception):
    """The bytes are not an ELF image of this machine, or lie about themselves."""


@dataclass(frozen=True, slots=True)
class Image:
    """What is needed of one ELF image.

    Attributes:
        symbols: dynamic symbols found, by name: their virtual addresses.
        constants: the 4-byte values that some of them have.
        load_address: the virtual address of its first byte, to be subtracted for the load bias.
    """

    symbols: dict[str, int]
    constants: dict[str, int]
    load_address: int


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    address: int
    file_size: int


@dataclass(frozen=True, slots=True)
class _Tables:
    """Where the dynamic symbols lie; `read` takes virtual addresses. One hash table of the two is enough."""

    read: Read
    symbols: int
    names: int
    gnu_hash: int
    sysv_hash: int


def read_image(descriptor: int, symbols: Iterable[str], constants: Iterable[str]) -> Image:
    """Read the addresses of symbols, and the values of constants, from a file.

    Args:
        descriptor: of the file; it stays open.
        symbols: names of dynamic symbols to look up through the hash table (a scan costs 100 ms on a libpython).
        constants: those of them that are read-only data whose value is wanted.

    Raises:
        NotAnElf: it cannot be read as one.
    """

    def read_file(place: int, length: int) -> bytes:
        return os.pread(descriptor, length, place) if 0 <= place < _ADDRESS_LIMIT else b""

    segments = _segments(read_file)

    def read(address: int, length: int) -> bytes:
        for segment in segments:
            if segment.kind == _PT_LOAD and 0 <= address - segment.address <= segment.file_size - length:
                return read_file(address - segment.address + segment.offset, length)
        return b""

    return _image(segments, read, 0, symbols, constants)


def read_loaded(read_memory: Read, start: int, symbols: Iterable[str], constants: Iterable[str]) -> Image:
    """Read the same from an image that is loaded: its file may be gone, replaced, or out of reach.

    Args:
        read_memory: reads the memory of the process that has loaded it; no bytes where there are none.
        start: the address of its first byte.
        symbols: as for read_image.
        constants: as for read_image.

    Raises:
        NotAnElf: it cannot be read as one.
    """
    segments = _segments(lambda place, length: read_memory(start + place, length))
    bias = start - _load_address(segments)
    return _image(segments, lambda address, length: read_memory(address + bias, length), bias, symbols, constants)


def _segments(read: Read) -> list[_Segment]:
    header = read(0, _HEADER.size)
    if not header.startswith(_IDENTIFICATION):
        raise NotAnElf("it is no 64-bit ELF file of this byte order")
    _, _, machine, _, _, start, _, _, _, size, count, _, _, _ = _unpack(_HEADER, header)
    if machine != _MACHINE:
        raise NotAnElf(f"it is for machine {machine}")
    if size != _SEGMENT.size or count > _SEGMENTS_LIMIT:
        raise NotAnElf(f"it announces {count} segments of {size} bytes")
    table = read(start, count * size)
    if len(table) != count * size:
        raise NotAnElf("its segments lie outside of it")
    rows = _SEGMENT.iter_unpack(table)
    return [_Segment(kind, offset, address, in_file) for kind, _, offset, address, _, in_file, _, _ in rows]


def _load_address(segments: list[_Segment]) -> int:
    loads = [segment.address - segment.offset for segment in segments if segment.kind == _PT_LOAD]
    if not loads:
        raise NotAnElf("it has nothing to load")
    return min(loads)


def _image(segments: list[_Segment], read: Read, bias: int, symbols: Iterable[str], constants: Iterable[str]) -> Image:
    load_address = _load_address(segments)
    tables = _tables(segments, read, bias)
    lookup = _by_gnu_hash if tables.gnu_hash else _by_sysv_hash
    places = {name: lookup(tables, name.encode()) for name in symbols}
    found = {name: place for name, place in places.items() if place is not None}
    values = {name: _word(read, found[name]) for name in constants if name in found}
    return Image(found, values, load_address)


def _tables(segments: list[_Segment], read: Read, bias: int) -> _Tables:
    dynamic = next((segment for segment in segments if segment.kind == _PT_DYNAMIC), None)
    if dynamic is None:
        raise NotAnElf("it has no dynamic symbols")
    length = min(dynamic.file_size // _TAG.size, _TAGS_LIMIT) * _TAG.size
    tags: dict[int, int] = {}
    table = read(dynamic.address, length)
    if len(table) != length:
        raise NotAnElf("its dynamic section lies outside of it")
    for tag, value in _TAG.iter_unpack(table):
        if tag == 0:
            break
        # The loader of glibc adds the bias to the addresses in the loaded table, other loaders do not.
        tags[tag] = value - bias if value >= bias else value
    symbols, names = tags.get(_DT_SYMTAB, 0), tags.get(_DT_STRTAB, 0)
    gnu_hash, sysv_hash = tags.get(_DT_GNU_HASH, 0), tags.get(_DT_HASH, 0)
    if not symbols or not names or not (gnu_hash or sysv_hash):
        raise NotAnElf("it has no hash table of dynamic symbols")
    return _Tables(read, symbols, names, gnu_hash, sysv_hash)


def _by_gnu_hash(tables: _Tables, name: bytes) -> int | None:
    """Return the address of a symbol, None where the image defines none of that name."""
    buckets, first, filters, _ = _unpack(_GNU_HASH, tables.read(tables.gnu_hash, _GNU_HASH.size))
    if not buckets:
        return None
    wanted = gnu_hash(name)
    starts = tables.gnu_hash + _GNU_HASH.size + 8 * filters
    index = _word(tables.read, starts + 4 * (wanted % buckets))
    if index < first:
        return None
    chain = starts + 4 * buckets - 4 * first
    for place in range(index, index + _CHAIN_LIMIT):
        has = _word(tables.read, chain + 4 * place)
        if has | 1 == wanted | 1 and (address := _symbol(tables, place, name)) is not None:
            return address
        if has & 1:
            return None
    raise NotAnElf("its hash table has a chain without an end")


def _by_sysv_hash(tables: _Tables, name: bytes) -> int | None:
    """Do the same with the older table."""
    buckets = _word(tables.read, tables.sysv_hash)
    if not buckets:
        return None
    starts = tables.sysv_hash + 8
    place = _word(tables.read, starts + 4 * (sysv_hash(name) % buckets))
    for _ in range(_CHAIN_LIMIT):
        if place == 0:
            return None
        if (address := _symbol(tables, place, name)) is not None:
            return address
        place = _word(tables.read, starts + 4 * buckets + 4 * place)
    raise NotAnElf("its hash table has a chain without an end")


def _symbol(tables: _Tables, index: int, name: bytes) -> int | None:
    """Return the address of the symbol at an index if it has that name and is defined here."""
    symbol = tables.read(tables.symbols + index * _SYMBOL.size, _SYMBOL.size)
    start, _, _, section, address, _ = _unpack(_SYMBOL, symbol)
    if not section or tables.read(tables.names + start, len(name) + 1) != name + b"\0":
        return None
    return int(address)


def gnu_hash(name: bytes) -> int:
    """Return the hash of a name in a table of the kind DT_GNU_HASH."""
    value = 5381
    for byte in name:
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value


def sysv_hash(name: bytes) -> int:
    """Return the hash of a name in a table of the kind DT_HASH (System V ABI, chapter 5)."""
    value = 0
    for byte in name:
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high
    return value & 0xFFFFFFFF


def _word(read: Read, address: int) -> int:
    return int(_unpack(_WORD, read(address, _WORD.size))[0])


def _unpack(form: struct.Struct, data: bytes) -> tuple[int, ...]:
    if len(data) != form.size:
        raise NotAnElf("it ends before what it announces, or has it where nothing is loaded")
    return form.unpack(data)
