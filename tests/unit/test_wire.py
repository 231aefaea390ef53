"""Frames and JSON as both sides of the link read and write them, hostile bytes first."""

from __future__ import annotations

import json
import tracemalloc
from array import array

import pytest
from execd_agent import wire
from hypothesis import given
from hypothesis import strategies as st

frames = st.lists(
    st.tuples(
        st.sampled_from(sorted(wire.KINDS - {wire.BULK})), st.integers(0, 0xFFFF), st.binary(max_size=200), st.just(0)
    )
    | st.tuples(st.just(wire.BULK), st.integers(0, 0xFFFF), st.binary(max_size=200), st.sampled_from((0, wire.MORE))),
    max_size=8,
)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
# Every code point, the halves of surrogate pairs among them: file names hold those.
texts = st.text(st.characters(exclude_categories=()))
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=20,
)


def seen(frame: wire.Frame) -> tuple[int, int, bytes, int]:
    return frame.kind, frame.request, frame.payload, frame.flags


@given(st.lists(st.binary(max_size=64), max_size=30))
def test_any_bytes_are_frames_or_a_protocol_error(chunks: list[bytes]) -> None:
    decoder = wire.Decoder()
    try:
        received = [frame for chunk in chunks for frame in decoder.feed(chunk)]
    except wire.ProtocolError:
        return
    assert all(frame.kind in wire.KINDS for frame in received)
    assert sum(8 + len(frame.payload) for frame in received) <= sum(map(len, chunks))


@given(frames, st.data())
def test_frames_arrive_whole_however_their_bytes_are_cut(
    sent: list[tuple[int, int, bytes, int]], data: st.DataObject
) -> None:
    stream = b"".join(wire.encode_frame(*fields) for fields in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    decoder = wire.Decoder()
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [seen(frame) for piece in pieces for frame in decoder.feed(piece)] == sent


def test_frames_arrive_whole_byte_by_byte() -> None:
    stream = wire.encode_frame(wire.REPLY, 7, b"{}") + wire.encode_frame(wire.BULK, 7, b"x", wire.MORE)
    decoder = wire.Decoder()
    received = [frame for byte in stream for frame in decoder.feed(bytes([byte]))]
    assert [seen(frame) for frame in received] == [(wire.REPLY, 7, b"{}", 0), (wire.BULK, 7, b"x", wire.MORE)]


@pytest.mark.parametrize("kind", [0, 7, 255])
def test_an_unknown_kind_is_refused(kind: int) -> None:
    with pytest.raises(wire.ProtocolError, match=f"kind {kind}"):
        wire.Decoder().feed(bytes((0, 0, 0, 0, kind, 0, 0, 0)))


@pytest.mark.parametrize("kind", sorted(wire.KINDS - {wire.BULK}))
def test_only_bulk_may_say_that_more_follows(kind: int) -> None:
    with pytest.raises(wire.ProtocolError, match="flags"):
        wire.Decoder().feed(bytes((0, 0, 0, 0, kind, wire.MORE, 0, 0)))


@pytest.mark.parametrize("flags", [2, 0x80, 0xFF])
def test_an_unknown_flag_is_refused(flags: int) -> None:
    with pytest.raises(wire.ProtocolError, match="flags"):
        wire.Decoder().feed(bytes((0, 0, 0, 0, wire.BULK, flags, 0, 0)))


@pytest.mark.parametrize("kind", sorted(wire.KINDS))
@pytest.mark.parametrize("length", [(1 << 20) + 1, 10_000_000_000 & 0xFFFFFFFF, 0xFFFFFFFF])
def test_an_announcement_over_the_limit_is_refused_on_the_header(kind: int, length: int) -> None:
    header = length.to_bytes(4, "little") + bytes((kind, 0, 0, 0))
    with pytest.raises(wire.ProtocolError, match="over the limit"):
        wire.Decoder().feed(header)


@pytest.mark.parametrize("kind", [wire.REPLY, wire.BULK])
def test_a_frame_of_exactly_the_limit_is_taken(kind: int) -> None:
    limit = wire.MAX_BULK_PART if kind == wire.BULK else wire.MAX_CONTROL
    (frame,) = wire.Decoder().feed(wire.encode_frame(kind, 1, bytes(limit)))
    assert len(frame.payload) == limit


def test_the_decoder_keeps_no_more_than_one_frame_and_one_read() -> None:
    frame = wire.encode_frame(wire.BULK, 1, bytes(wire.MAX_BULK_PART))
    decoder = wire.Decoder()
    tracemalloc.start()
    try:
        for _ in range(20):
            for start in range(0, len(frame), 1 << 18):
                decoder.feed(frame[start : start + (1 << 18)])
        assert tracemalloc.get_traced_memory()[1] < 5 * len(frame)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [0, 1, wire.MAX_BULK_PART, wire.MAX_BULK_PART + 1, 2 * wire.MAX_BULK_PART])
def test_bulk_arrives_in_parts_of_which_the_last_alone_is_unmarked(size: int) -> None:
    payload = bytes(range(251)) * (size // 251 + 1)
    decoder = wire.Decoder()
    received = [frame for part in wire.encode_bulk(9, payload[:size]) for frame in decoder.feed(part)]
    assert b"".join(frame.payload for frame in received) == payload[:size]
    assert [frame.flags for frame in received] == [wire.MORE] * (len(received) - 1) + [0]


@given(json_values)
def test_json_of_the_agent_means_what_that_of_the_standard_library_means(value: object) -> None:
    encoded = wire.encode_json(value)
    assert encoded.isascii()
    assert json.loads(encoded) == json.loads(json.dumps(value))


@given(texts)
def test_a_text_comes_back_as_it_was(text: str) -> None:
    # Two halves that stand side by side are one character in JSON, with the standard library too.
    assert json.loads(wire.encode_json([text])) == json.loads(json.dumps([text]))
    assert b"\n" not in wire.encode_json([text])


@pytest.mark.parametrize("text", ["\x00", "\x1b[2J", "\x7f", '"', "\\", "\u2028", "\u202e", "\ud800", "\U0010ffff"])
def test_a_hostile_name_is_ascii_on_the_wire(text: str) -> None:
    encoded = wire.encode_json({text: text})
    assert all(0x20 <= byte < 0x7F for byte in encoded)
    assert json.loads(encoded) == {text: text}


def test_what_is_no_json_is_an_error() -> None:
    with pytest.raises(TypeError, match="object"):
        wire.encode_json([object()])


def test_a_table_is_a_header_that_names_the_arrays_and_then_their_bytes() -> None:
    numbers_of_4, numbers_of_8 = array("i", (1, -1)).tobytes(), array("q", (1 << 40,)).tobytes()
    payload = wire.encode_table({"span_ns": 5}, [("a", "i4", numbers_of_4), ("b", "i8", numbers_of_8)])
    size = int.from_bytes(payload[:4], "little")
    assert json.loads(payload[4 : 4 + size]) == {"span_ns": 5, "arrays": [["a", "i4", 8], ["b", "i8", 8]]}
    assert payload[4 + size :] == numbers_of_4 + numbers_of_8
