"""The format of a profile on disk.

    magic "execdprf", version (u16), length of the JSON header (u32)          little-endian, 14 bytes
    zlib stream of
        JSON header: header fields, strings, labels, counts, column directory, files; UTF-8, lone surrogates passed
        functions    name, qualname, file (indexes of strings), first_line    int32 each
        locations    function, line                                           int32 each
        nodes        parent, location, label                                  int32 each
        columns      in the order of the directory, a value a node            int64 each

All sizes follow from the counts in the JSON header, and no more is inflated than these allow: neither a wrong
count nor a zip bomb makes a reader hold more than MAX_HEADER_BYTES and the limits of the model.
Version 1 has neither files nor domains in its labels, and up to version 2 labels have no slice.
"""

from __future__ import annotations

import json
import math
import struct
import sys
import zlib
from array import array
from typing import TYPE_CHECKING, Any, NoReturn

from execd.errors import ProfileCorrupt
from execd.model.codec_head import (
    counts_of,
    directory_of,
    field_of,
    files_of,
    head_of,
    header_of,
    labels_of,
    texts_of,
)
from execd.model.profile import Column, Function, Location, Profile, check

if TYPE_CHECKING:
    from collections.abc import Iterable

MAGIC = b"execdprf"
VERSION = 3
_READ_VERSIONS = (1, 2, 3)
# 64 MiB of names are those of some 500,000 functions.
MAX_HEADER_BYTES = 64 << 20
# Level 6 takes four times as long and saves 6%.
LEVEL = 1

_PREFIX = struct.Struct("<8sHI")


def encode(profile: Profile) -> bytes:
    """Return a profile as bytes.

    Raises:
        ProfileCorrupt: it breaks a rule of the model, a figure does not fit, an option is not a JSON value.
    """
    strings: dict[str, int] = {}
    try:
        check(profile)
        columns = b"".join([*_tables(profile, strings), *(_packed("q", one.values) for one in profile.columns)])
        header = _header_bytes(profile, strings)
    except (OverflowError, TypeError, ValueError, RecursionError) as error:
        raise ProfileCorrupt(f"a profile that the format cannot hold: {error}") from None
    if len(header) > MAX_HEADER_BYTES:
        raise ProfileCorrupt(f"names of {len(header)} bytes are over the limit of {MAX_HEADER_BYTES}")
    return _PREFIX.pack(MAGIC, VERSION, len(header)) + zlib.compress(header + columns, LEVEL)


def decode(data: bytes) -> Profile:
    """Return the profile that the bytes hold; nothing in them is trusted.

    Raises:
        ProfileCorrupt: they break a rule of the format or of the model.
    """
    header_size = _header_size(data)
    stream = zlib.decompressobj()
    try:
        raw, rest = _inflated(stream, data[_PREFIX.size :], header_size)
        head = _parsed(raw)
        counts = counts_of(head)
        columns, rest = _inflated(stream, rest, _columns_size(counts, len(directory_of(head))))
        surplus = stream.decompress(rest, 1)
    except zlib.error as error:
        raise ProfileCorrupt(f"damaged compressed data: {error}") from None
    if surplus or not stream.eof or stream.unused_data:
        raise ProfileCorrupt("the data do not end where the counts say")
    return check(_profile(head, counts, columns))


def _tables(profile: Profile, strings: dict[str, int]) -> list[bytes]:
    def index(text: str) -> int:
        return strings.setdefault(text, len(strings))

    return [
        _packed("i", [index(one.name) for one in profile.functions]),
        _packed("i", [index(one.qualname) for one in profile.functions]),
        _packed("i", [index(one.file) for one in profile.functions]),
        _packed("i", [one.first_line for one in profile.functions]),
        _packed("i", [one.function for one in profile.locations]),
        _packed("i", [one.line for one in profile.locations]),
        _packed("i", profile.parents),
        _packed("i", profile.node_locations),
        _packed("i", profile.node_labels),
    ]


def _packed(typecode: str, values: Iterable[int]) -> bytes:
    column = array(typecode, values)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def _header_bytes(profile: Profile, strings: dict[str, int]) -> bytes:
    head = head_of(profile, list(strings))
    # Checked as a reader will: what is written can be read.
    labels_of(head)
    directory_of(head)
    files_of(head)
    # Not as \u escapes: JSON would read two lone surrogates in a row as one character.
    text = json.dumps(head, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def _header_size(data: bytes) -> int:
    if len(data) < _PREFIX.size:
        raise ProfileCorrupt(f"{len(data)} bytes are no profile")
    magic, version, size = _PREFIX.unpack_from(data)
    if magic != MAGIC:
        raise ProfileCorrupt("not a profile: it does not begin with the magic bytes")
    if version not in _READ_VERSIONS:
        raise ProfileCorrupt(f"a profile of format version {version}; this execd reads up to version {VERSION}")
    if not 0 < size <= MAX_HEADER_BYTES:
        raise ProfileCorrupt(f"a header of {size} bytes is over the limit of {MAX_HEADER_BYTES}")
    return int(size)


def _inflated(stream: zlib._Decompress, data: bytes, size: int) -> tuple[bytes, bytes]:
    # A limit of 0 would mean none at all.
    inflated = stream.decompress(data, size) if size else b""
    if len(inflated) != size:
        raise ProfileCorrupt(f"{len(inflated)} bytes where {size} are announced")
    return inflated, stream.unconsumed_tail if size else data


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        head = json.loads(raw.decode("utf-8", "surrogatepass"), parse_constant=_refused, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ProfileCorrupt(f"the header is not JSON: {error}") from None
    if type(head) is not dict:
        raise ProfileCorrupt("the header is not a JSON object")
    return head


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refused(digits)


def _columns_size(counts: dict[str, int], columns: int) -> int:
    narrow = 4 * counts["functions"] + 2 * counts["locations"] + 3 * counts["nodes"]
    return 4 * narrow + 8 * columns * counts["nodes"]


def _profile(head: dict[str, Any], counts: dict[str, int], columns: bytes) -> Profile:
    offset = 0

    def unpacked(typecode: str, count: int) -> array[int]:
        nonlocal offset
        values = array(typecode)
        size = count * values.itemsize
        values.frombytes(columns[offset : offset + size])
        offset += size
        if sys.byteorder == "big":
            values.byteswap()
        return values

    function_parts = [unpacked("i", counts["functions"]) for _ in range(4)]
    location_parts = [unpacked("i", counts["locations"]) for _ in range(2)]
    return Profile(
        header_of(field_of(head, "header", dict)),
        _functions(texts_of(head, "strings"), *function_parts),
        tuple(map(Location, *location_parts)),
        labels_of(head),
        unpacked("i", counts["nodes"]),
        unpacked("i", counts["nodes"]),
        unpacked("i", counts["nodes"]),
        tuple(Column(name, unit, unpacked("q", counts["nodes"])) for name, unit in directory_of(head)),
        files_of(head),
    )


def _functions(
    strings: tuple[str, ...], names: array[int], qualnames: array[int], files: array[int], lines: array[int]
) -> tuple[Function, ...]:
    for indexes in (names, qualnames, files):
        if indexes and (min(indexes) < 0 or max(indexes) >= len(strings)):
            raise ProfileCorrupt(f"a name of a function points outside of the {len(strings)} strings")
    return tuple(
        Function(strings[name], strings[qualname], strings[file], line)
        for name, qualname, file, line in zip(names, qualnames, files, lines, strict=True)
    )
