"""The format of a profile: what goes in comes out, and bytes that are no profile end in ProfileCorrupt."""

from __future__ import annotations

import json
import random
import struct
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from call_trees import Node, header, random_tree, tree
from execd.errors import ProfileCorrupt
from execd.model.codec import MAGIC, MAX_HEADER_BYTES, VERSION, decode, encode
from execd.model.profile import ROOT, Function, Label
from execd.model.source import SourceFile
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

DIGEST = "0123456789abcdef" * 4
PREFIX = struct.Struct("<8sHI")
ENCODED = encode(random_tree(1, size=40))
TEXT = st.text(st.characters(), max_size=12)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | TEXT, lambda kind: st.lists(kind, max_size=3))


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the JSON header and the columns of an encoded profile."""
    size = PREFIX.unpack_from(data)[2]
    body = zlib.decompress(data[PREFIX.size :])
    return json.loads(body[:size]), body[size:]


def built(head: object, columns: bytes) -> bytes:
    """Return the bytes of a profile with this JSON header and these columns."""
    raw = json.dumps(head).encode()
    return PREFIX.pack(MAGIC, VERSION, len(raw)) + zlib.compress(raw + columns, 1)


def is_refused_or_sound(data: bytes) -> bool:
    """Decode; True unless anything else than a profile or ProfileCorrupt comes of it."""
    try:
        profile = decode(data)
    except ProfileCorrupt:
        return True
    return encode(profile) is not None


@given(name=TEXT, file=TEXT, thread=TEXT, command=st.lists(TEXT, max_size=3), option=JSON)
def test_any_text_survives_a_round_trip(name: str, file: str, thread: str, command: list[str], option: object) -> None:
    called = Function(name, name, file, 3)
    profile = tree(
        [Node(ROOT, called, label=Label(2**64 - 1, thread, 1))],
        command_line=tuple(command),
        options={name: option},
        caveats=(thread,),
        lost={file: 3},
    )
    assert decode(encode(profile)) == profile


def test_two_lone_surrogates_in_a_row_stay_two() -> None:
    profile = tree([Node(ROOT, "\ud83d\ude00\udcff")])
    assert decode(encode(profile)).functions[0].name == "\ud83d\ude00\udcff"


def test_a_tree_survives_a_round_trip() -> None:
    profile = random_tree(2)
    assert decode(encode(profile)) == profile


def test_files_and_domains_survive_a_round_trip() -> None:
    files = (SourceFile("/srv/\udcffapp.py", DIGEST, (1, 2, 9), ""), SourceFile("<string>", "", (), "there is no file"))
    profile = replace(tree([Node(ROOT, "main", label=Label(0, "", 1, (1 << 32) - 1))]), files=files)
    assert decode(encode(profile)) == profile


def test_a_profile_of_version_1_is_read_as_it_was_meant() -> None:
    head, columns = parts(ENCODED)
    del head["files"]
    raw = json.dumps({**head, "labels": [label[:3] for label in head["labels"]]}).encode()
    old = PREFIX.pack(MAGIC, 1, len(raw)) + zlib.compress(raw + columns)
    assert decode(old) == decode(ENCODED)


def test_a_profile_of_version_2_has_no_slices() -> None:
    head, columns = parts(ENCODED)
    raw = json.dumps({**head, "labels": [label[:4] for label in head["labels"]]}).encode()
    old = PREFIX.pack(MAGIC, 2, len(raw)) + zlib.compress(raw + columns)
    assert decode(old) == decode(ENCODED)
    assert {label.at_s for label in decode(old).labels} == {0}


def test_slices_survive_a_round_trip() -> None:
    profile = tree([Node(ROOT, "main", label=Label(7, "worker", 1, at_s=at_s)) for at_s in (0, 10, (1 << 33) - 1)])
    assert decode(encode(profile)) == profile


def test_a_profile_without_nodes_survives_a_round_trip() -> None:
    assert decode(encode(tree([]))) == tree([])


@given(st.binary(max_size=200))
def test_random_bytes_end_in_profile_corrupt(data: bytes) -> None:
    with pytest.raises(ProfileCorrupt):
        decode(data)


@given(st.binary(max_size=200))
def test_random_compressed_bytes_end_in_profile_corrupt(data: bytes) -> None:
    with pytest.raises(ProfileCorrupt):
        decode(PREFIX.pack(MAGIC, 1, max(1, len(data) // 2)) + zlib.compress(data))


@given(st.integers(0, len(ENCODED) - 1), st.integers(1, 255))
def test_a_damaged_byte_is_refused_or_of_no_effect(place: int, change: int) -> None:
    damaged = bytearray(ENCODED)
    damaged[place] ^= change
    try:
        profile = decode(bytes(damaged))
    except ProfileCorrupt:
        return
    # Some bits of zlib's own header mean nothing here; all else is under its checksum.
    assert profile == decode(ENCODED)


@given(st.integers(0, len(ENCODED) - 1))
def test_a_truncated_file_is_refused(size: int) -> None:
    with pytest.raises(ProfileCorrupt):
        decode(ENCODED[:size])


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(ProfileCorrupt, match="do not end"):
        decode(ENCODED + b"x")


@settings(max_examples=300)
@given(seed=st.integers(0, 2**32), value=JSON | st.dictionaries(TEXT, JSON, max_size=2) | st.floats())
def test_a_header_with_one_value_replaced_ends_in_nothing_else(seed: int, value: object) -> None:
    head, columns = parts(ENCODED)
    chance = random.Random(seed)  # noqa: S311 -- a choice of a place
    holder: Any = head
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = chance.choice(keys)
        if not isinstance(holder[key], dict | list) or not holder[key] or chance.random() < 0.3:
            holder[key] = value
            break
        holder = holder[key]
    assert is_refused_or_sound(built(head, columns))


@given(st.binary(min_size=4, max_size=4), st.integers(0, 10_000))
def test_columns_with_four_bytes_replaced_end_in_nothing_else(change: bytes, place: int) -> None:
    head, columns = parts(ENCODED)
    place %= len(columns) - 4
    assert is_refused_or_sound(built(head, columns[:place] + change + columns[place + 4 :]))


def _negative_name_index(head: dict[str, Any], columns: bytes) -> bytes:
    return built(head, b"\xff\xff\xff\xff" + columns[4:])


def _count_over_the_limit(head: dict[str, Any], columns: bytes) -> bytes:
    return built(head | {"nodes": 1 << 40}, columns)


def _count_that_is_true(head: dict[str, Any], columns: bytes) -> bytes:
    return built(head | {"nodes": True}, columns)


def _more_columns_than_announced(head: dict[str, Any], columns: bytes) -> bytes:
    return built(head, columns + bytes(8))


def _columns_missing(head: dict[str, Any], columns: bytes) -> bytes:
    return built(head, columns[:-8])


def _two_columns_of_one_name(head: dict[str, Any], columns: bytes) -> bytes:
    return built(head | {"columns": [["calls", "count"]] * 3}, columns)


def _infinite_start(head: dict[str, Any], columns: bytes) -> bytes:
    return built(head | {"header": head["header"] | {"started_at": float("inf")}}, columns)


def _start_far_ahead(head: dict[str, Any], columns: bytes) -> bytes:
    return built(head | {"header": head["header"] | {"started_at": 1e18}}, columns)


def _infinite_figure(head: dict[str, Any], columns: bytes) -> bytes:
    head = head | {"header": head["header"] | {"extra": {"rate_hz": 31337.5}}}
    raw = json.dumps(head).replace("31337.5", "1e999").encode()
    return PREFIX.pack(MAGIC, 1, len(raw)) + zlib.compress(raw + columns)


def _options_nested_too_deep(head: dict[str, Any], columns: bytes) -> bytes:
    nested: list[Any] = []
    for _ in range(40):
        nested = [nested]
    return built(head | {"header": head["header"] | {"options": {"a": nested}}}, columns)


def _nested_too_deep(head: dict[str, Any], columns: bytes) -> bytes:  # noqa: ARG001 -- one signature
    raw = b"[" * 200_000
    return PREFIX.pack(MAGIC, 1, len(raw)) + zlib.compress(raw)


def _zip_bomb(head: dict[str, Any], columns: bytes) -> bytes:
    return built(head, columns + bytes(20 << 20))


def _header_over_the_limit(head: dict[str, Any], columns: bytes) -> bytes:  # noqa: ARG001 -- one signature
    return PREFIX.pack(MAGIC, VERSION, MAX_HEADER_BYTES + 1) + zlib.compress(bytes(100))


def _newer_version(head: dict[str, Any], columns: bytes) -> bytes:  # noqa: ARG001 -- one signature
    return PREFIX.pack(MAGIC, VERSION + 1, 1) + ENCODED[PREFIX.size :]


def _labels_of(label: object) -> Callable[[dict[str, Any], bytes], bytes]:
    return lambda head, columns: built({**head, "labels": [label] * len(head["labels"])}, columns)


def _files_of(file: object) -> Callable[[dict[str, Any], bytes], bytes]:
    return lambda head, columns: built({**head, "files": [file]}, columns)


@pytest.mark.parametrize(
    "damage",
    [
        *map(_labels_of, ([1, "x"], [True, "x", 1, 0], [1, "x", 1, -1], [1, "x", 1, 1 << 32], {})),
        *map(_labels_of, ([1, "x", 1, 1, 1, 1], [1, "x", 1, 1, True], [1, "x", 1, 1, -1], [1, "x", 1, 1, 1 << 33])),
        _files_of(["a.py", DIGEST, [2, 2], ""]),
        _files_of(["a.py", DIGEST, [0, 1], ""]),
        _files_of(["a.py", DIGEST, [True], ""]),
        _files_of(["a.py", DIGEST, [1 << 31], ""]),
        _files_of(["a.py", "../../etc/passwd", [1], ""]),
        _files_of(["a.py", DIGEST, [1]]),
        _files_of(7),
        _negative_name_index,
        _count_over_the_limit,
        _count_that_is_true,
        _more_columns_than_announced,
        _columns_missing,
        _two_columns_of_one_name,
        _infinite_start,
        _start_far_ahead,
        _infinite_figure,
        _options_nested_too_deep,
        _nested_too_deep,
        _zip_bomb,
        _header_over_the_limit,
        _newer_version,
    ],
)
def test_what_breaks_the_format_is_refused(damage: Callable[[dict[str, Any], bytes], bytes]) -> None:
    with pytest.raises(ProfileCorrupt):
        decode(damage(*parts(ENCODED)))


@pytest.mark.parametrize(
    "wrong",
    [
        header(options={"a": object()}),
        header(extra={"rate_hz": float("nan")}),
        header(started_at=-1.0),
        header(lost={"nodes": 1 << 70}),
    ],
)
def test_what_could_not_be_read_back_is_not_written(wrong: Any) -> None:
    with pytest.raises(ProfileCorrupt):
        encode(replace(tree([]), header=wrong))


def test_a_first_line_beyond_int32_is_not_written() -> None:
    with pytest.raises(ProfileCorrupt):
        encode(tree([Node(ROOT, Function("f", "f", "f.py", 1 << 40))]))
