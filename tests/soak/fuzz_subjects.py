"""What is fuzzed: the readers of strangers' bytes. Each takes what a strategy draws, and holds to what it promises."""

from __future__ import annotations

import struct
from array import array
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from call_trees import header
from elf_lies import GNU_HASH, NAMES, SEGMENT_COUNT, SEGMENTS, SYMBOLS, WHOLE, read, read_loaded, tag
from execd.attach import bpf, process
from execd.attach.table import read_table
from execd.errors import ProfileCorrupt, TargetGone
from execd.model.codec import decode, encode
from execd_agent import wire
from fake_agents import table
from hypothesis import strategies as st
from soak.filters import executed, programs
from soak.fuzz_imports import files, look_at_file

if TYPE_CHECKING:
    from collections.abc import Callable

    Subject = tuple[st.SearchStrategy[Any], Callable[[Any], None]]

# Where readers go wrong: at the edges of what a number can be.
edges = st.sampled_from([0, 1, 7, 8, 0x7FFF, 0xFFFF, 1 << 31, (1 << 32) - 1, 1 << 47, 1 << 63, (1 << 64) - 1])
words = st.one_of(edges, st.integers(0, (1 << 64) - 1))

places = [
    *(54, 56, 32, tag(GNU_HASH), tag(GNU_HASH) - 8, tag(SYMBOLS), tag(NAMES)),
    *(SEGMENTS + 56 * number + field for number in range(SEGMENT_COUNT) for field in range(0, 56, 8)),
    *(struct.unpack_from("<Q", WHOLE, tag(GNU_HASH))[0] + word for word in range(0, 64, 4)),
]
images = st.tuples(st.binary(max_size=300), st.integers(0, len(WHOLE)))
patches = st.lists(st.tuples(st.sampled_from(places), st.sampled_from("HIQ"), words), min_size=1, max_size=6)

names = st.binary(min_size=1, max_size=15).filter(lambda name: b"\0" not in name)
numbers = st.integers(0, 1 << 70)
rows = st.builds(
    lambda start, end, permissions, offset, inode, path: b"%x-%x %b %x 08:01 %d %b\n"
    % (start, end, permissions, offset, inode, path),
    *(numbers, numbers, st.sampled_from([b"r-xp", b"rw-p", b"r--", b"-----", b"r xp"]), numbers, numbers),
    st.binary(max_size=50),
)
lines = st.lists(st.one_of(st.binary(max_size=200), rows))

frames = st.tuples(st.one_of(st.integers(0, 400), words), st.integers(0, 8), st.integers(0, 3), st.binary(max_size=40))
cuts = st.lists(st.integers(0, 40), max_size=12)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), words, st.floats(), st.text(max_size=20))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
FACTS = ("span_ns", "lost", "caveats", "labels", "thread_id", "arrays")
facts = st.dictionaries(st.sampled_from(FACTS), values, max_size=3)
TABLE = table(7)
edits = st.lists(st.tuples(st.integers(0, len(TABLE)), st.integers(0, 8), st.binary(max_size=8)), max_size=5)


def look_at_image(image: tuple[bytes, int]) -> None:
    """Pieces of images, and an image with a piece of it replaced."""
    data, place = image
    read_loaded(WHOLE[:64] + data)
    for whole in (data, WHOLE[:place] + data + WHOLE[place + len(data) :]):
        look_at_symbols(whole)


def look_at_patched(changes: list[tuple[int, str, int]]) -> None:
    """An image with numbers changed that a reader goes by."""
    data = bytearray(WHOLE)
    for place, form, value in changes:
        struct.pack_into("<" + form, data, place, value & ((1 << 8 * struct.calcsize(form)) - 1))
    look_at_symbols(bytes(data))


def look_at_symbols(data: bytes) -> None:
    """Addresses that can be, or none."""
    for found in (read(data), read_loaded(data)):
        assert found is None or all(0 <= value < 1 << 64 for value in found.symbols.values())


def look_at_map(parts: list[bytes]) -> None:
    """Lines of a memory map."""
    for found in process.parse_mappings(parts):
        assert 0 <= found.start < 1 << 64
        assert 0 <= found.end < 1 << 64
        assert found.inode >= 0


def look_at_status(data: bytes) -> None:
    """Files of /proc that are none."""
    for parse in (process.parse_status, process.parse_start_ticks):
        try:
            parse(1, data)
        except TargetGone as gone:
            assert "is ending" in gone.message  # noqa: PT017 -- it may be raised, and need not be


def look_at_name(name: bytes) -> None:
    """The kernel writes a name as it is into one file, with its line ends escaped into the other."""
    shown = name.replace(b"\n", b"\\n")
    found = process.parse_status(1, b"Name:\t" + shown + b"\n" + STATUS)
    assert (found.state, found.uid, found.effective_uid, found.tracer_pid) == ("S", 1000, 1001, 7)
    assert (found.seccomp, found.shadow_stack) == (2, False)
    assert process.parse_start_ticks(1, b"1 (" + name + b") " + STAT) == 4711


def look_at_frames(drawn: tuple[list[tuple[int, int, int, bytes]], list[int]]) -> None:
    """However a stream is cut, the same frames come of it, or an error."""
    stream = b"".join(
        (length & 0xFFFFFFFF if length > 1 << 20 else len(payload)).to_bytes(4, "little")
        + bytes((kind, flags, 7, 0))
        + payload
        for length, kind, flags, payload in drawn[0]
    )
    points = [point for point in accumulate(drawn[1]) if point < len(stream)]
    pieces = [stream[start:end] for start, end in pairwise([0, *points, len(stream)])]
    received, broke = decoded(pieces)
    expected, would_break = decoded([stream[place : place + 1] for place in range(len(stream))])
    assert broke == would_break
    # With an error nothing is taken from the piece that it is in.
    assert received == (expected[: len(received)] if broke else expected)


def decoded(pieces: list[bytes]) -> tuple[list[tuple[int, int, int, bytes]], bool]:
    """What a decoder makes of pieces, up to its error, and whether there was one."""
    decoder = wire.Decoder()
    received = []
    try:
        for piece in pieces:
            received += decoder.feed(piece)
    except wire.ProtocolError:
        return seen(received), True
    return seen(received), False


def seen(received: list[wire.Frame]) -> list[tuple[int, int, int, bytes]]:
    """Frames as values."""
    return [(frame.kind, frame.flags, frame.request, frame.payload) for frame in received]


def look_at_table(changes: list[tuple[int, int, bytes]]) -> None:
    """A table with pieces of it replaced, taken out and put in."""
    data = TABLE
    for place, length, piece in changes:
        data = data[:place] + piece + data[place + length :]
    look_at_profile(data)


def look_at_facts(changed: dict[str, Any]) -> None:
    """A table whose header says anything."""
    said = dict(changed)
    if "thread_id" in said:
        said["labels"] = [{"thread_id": said.pop("thread_id"), "thread_name": "x", "domain": 0}]
    places = {"parents": -1, "node_locations": 0, "node_labels": 0}
    arrays = [
        ("text_bytes", "u1", b"f"),
        ("text_lengths", "i4", array("i", (1,)).tobytes()),
        ("functions", "i4", array("i", (0, 0, 0, 1)).tobytes()),
        ("locations", "i4", bytes(8)),
        *((name, "i4", array("i", (value,)).tobytes()) for name, value in places.items()),
        *((name, "i8", bytes(8)) for name in ("calls", "self_ns", "open")),
    ]
    facts = {"labels": [{"thread_id": 1, "thread_name": "", "domain": 0}], "lost": {}, "caveats": [], **said}
    look_at_profile(wire.encode_table(facts, arrays))


def look_at_profile(data: bytes) -> None:
    """What is believed can be stored, and is the same when it is read again."""
    try:
        profile = read_table(data, header(), 4711)
    except ProfileCorrupt:
        return
    assert decode(encode(profile)) == profile


def look_at_filter(drawn: tuple[list[tuple[int, int, int, int]], bytes, int]) -> None:
    """What a filter does is among what is said that it may do, whatever of the call is known."""
    program, words, known = drawn
    call = struct.unpack("<16I", words)
    data = {4 * number: word for number, word in enumerate(call) if known >> number & 1}
    try:
        results = bpf.outcomes(b"".join(bpf.INSTRUCTION.pack(*row) for row in program), data)
    except bpf.NotAFilter:
        return
    assert None in results or executed(program, call) in results


STATUS = b"Umask:\t0022\nState:\tS (sleeping)\nTracerPid:\t7\nUid:\t1000\t1001\t1000\t1000\nSeccomp:\t2\n"
STAT = b"S " + b"1 " * 18 + b"4711 1 1\n"
SUBJECTS: dict[str, Subject] = {
    "images": (images, look_at_image),
    "patched images": (patches, look_at_patched),
    "maps": (lines, look_at_map),
    "status": (st.binary(max_size=300), look_at_status),
    "names": (names, look_at_name),
    "frames": (st.tuples(st.lists(frames, max_size=6), cuts), look_at_frames),
    "tables": (edits, look_at_table),
    "facts": (facts, look_at_facts),
    "files to import": (files, look_at_file),
    "filters": (
        st.tuples(programs, st.binary(min_size=64, max_size=64), st.integers(0, 0xFFFF)),
        look_at_filter,
    ),
}
