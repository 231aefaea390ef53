"""Files to import, fuzzed: of opcodes and types in any order, and real ones with pieces of them replaced."""

from __future__ import annotations

import gzip
import marshal
import pickle
import tracemalloc
from typing import TYPE_CHECKING, Any

from call_trees import header
from execd.errors import UsageError
from execd.imports.allowance import Allowance
from execd.imports.files import FORMATS, profiles_of
from execd.model.profile import check
from execd_api.pprof import profile_pb2
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

CPU_S = 2.0
MOST_BYTES = 64 << 20
NAMED = ("/a.py", "a", "f")
FUNCTION = ("/a.py", 3, "f")
TRACES = [(0, 100, (("/a.py", 3), ("/b.py", 9)), 2), (7, 1 << 40, (("/\u00e9.py", 1),), 1)]
PPROF = profile_pb2.Profile(
    sample_type=[profile_pb2.ValueType(type=1, unit=2), profile_pb2.ValueType(type=3, unit=4)],
    sample=[
        profile_pb2.Sample(location_id=[1, 2, 1], value=[3, 4], label=[profile_pb2.Label(key=6, num=1 << 40)]),
        profile_pb2.Sample(location_id=[2], value=[5, 1 << 60]),
    ],
    location=[
        profile_pb2.Location(id=1, line=[profile_pb2.Line(function_id=1, line=7)]),
        profile_pb2.Location(id=2, line=[profile_pb2.Line(function_id=2), profile_pb2.Line(function_id=1, line=9)]),
    ],
    function=[profile_pb2.Function(id=1, name=5, filename=7, start_line=3), profile_pb2.Function(id=2, name=5)],
    string_table=["", "samples", "count", "cpu", "nanoseconds", "{f}", "thread_id", "/\u00e9.py"],
).SerializeToString()
WHOLE = [
    pickle.dumps(({("/a.py", 1): 2, ("/\u00e9.py", 7): 1 << 40}, {NAMED: 1}, {(NAMED, NAMED): 1}), 1),
    *(pickle.dumps(tracemalloc.Snapshot(TRACES, 4), protocol) for protocol in (2, 5)),
    marshal.dumps({FUNCTION: (1, 3, 0.25, 1.5, {FUNCTION: (2, 0, 0.125, 0.25)})}),
    marshal.dumps({FUNCTION: (1, 3, 0.25, 1.5, {FUNCTION: 1})}, 0),
    b"main;a.py:3(f);\xc3\xa9 7\nmain 3.5\n\n<module>;a\\x20b\t12\r\n",
    PPROF,
    gzip.compress(PPROF, mtime=0),
]

OPCODES = [
    *(b"(", b"}", b"]", b")", b"N", b"\x85", b"\x86", b"\x87", b"t", b"d", b"a", b"e", b"s", b"u", b"\x94", b"\x93"),
    *(b"\x81", b"b", b"K\x01", b"M\xff\xff", b"J\xff\xff\xff\xff", b"I1\n", b"L5L\n", b"\x8a\x01\x05", b"X\x01\0\0\0a"),
    *(b"X\xff\xff\xff\xff", b"\x8c\x01b", b"q\0", b"h\0", b"r\xff\xff\xff\x7f", b"j\0\0\0\0", b"p1\n", b"g1\n"),
    *(b"ctracemalloc\nSnapshot\n", b"ctracemalloc\n_Traces\n", b"cos\nsystem\n", b"\x95" + bytes(8), b"."),
]
KINDS = [
    *(
        b"{",
        b"\xfb",
        b"0",
        b"N",
        b"\xa9\x02",
        b")\x03",
        b"(\x05\0\0\0",
        b"(\xff\xff\xff\x7f",
        b"r\0\0\0\0",
        b"r\1\0\0\0",
    ),
    *(b"i\1\0\0\0", b"I" + bytes(8), b"l\2\0\0\0\1\0\1\0", b"l\0\0\0\x80", b"g" + bytes(8), b"f\x030.5", b"z\1a"),
    *(b"\xda\1a", b"u\2\0\0\0\xc3\xa9", b"u\xff\xff\xff\xff"),
]


def parts(choices: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Words of a format one after the other, some of them many times."""
    some = st.lists(st.tuples(st.sampled_from(choices), st.sampled_from([1, 1, 1, 2, 200, 1500])), max_size=12)
    return some.map(lambda drawn: b"".join(word * count for word, count in drawn))


pickles = st.tuples(st.sampled_from([b"", b"\x80\x02", b"\x80\x04"]), parts(OPCODES)).map(b"".join)
marshals = parts(KINDS).map(lambda rest: b"{" + rest)
edits = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 4), st.binary(max_size=4)), min_size=1, max_size=4)
changed = st.tuples(st.sampled_from(WHOLE), edits).map(lambda drawn: edited(*drawn))
stacks = parts([b"a", b";", b" ", b"\n", b"\t", b"7", b".5", b":3(f)", b"\\x20", b"\xff", b"\0", b"\r"])
MESSAGES = [
    *(
        b"\x12\x04\x0a\x02\x01\x01",
        b"\x32\x00",
        b"\x32\x01a",
        b"\x0a\x04\x08\x01\x10\x02",
        b"\x22\x02\x08\x01",
        b"\x2a\x00",
    ),
    *(b"\x12\x00", b"\xff", b"\x80", b"\x08\x01", b"\x0d", b"\x1f\x8b"),
]
messages = parts(MESSAGES)
files = st.one_of(pickles, marshals, stacks, messages, changed)


def edited(data: bytes, changes: Sequence[tuple[int, int, bytes]]) -> bytes:
    """A file with pieces of it replaced."""
    for place, length, piece in changes:
        at = place % len(data)
        data = data[:at] + piece + data[at + length :]
    return data or b"{"


def look_at_file(data: bytes) -> None:
    """It is read as a profile, or refused in a line, in little time and memory, whatever it is said to be."""
    was_tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        for name in FORMATS:
            look_at_format(data, name)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        if not was_tracing:
            tracemalloc.stop()


def look_at_format(data: bytes, name: str) -> None:
    """The same, of one format."""
    allowance = Allowance(CPU_S, lambda: False)
    try:
        found: list[Any] = profiles_of(data, name, header(), allowance.spend)
    except UsageError as error:
        assert "\n" not in error.message  # noqa: PT017 -- it may be raised, and need not be
        assert "it takes more than" not in error.message  # noqa: PT017
        return
    assert [check(profile) for profile in found]
