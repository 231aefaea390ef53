"""Files to import, fuzzed: of opcodes and types in any order, and real ones with pieces of them replaced."""

from __future__ import annotations

import marshal
import pickle
import tracemalloc
from typing import TYPE_CHECKING, Any

from call_trees import header
from execd.errors import UsageError
from execd.imports.allowance import Allowance
from execd.imports.files import FORMATS, profiles_of
from execd.model.profile import check
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

CPU_S = 2.0
MOST_BYTES = 64 << 20
NAMED = ("/a.py", "a", "f")
FUNCTION = ("/a.py", 3, "f")
TRACES = [(0, 100, (("/a.py", 3), ("/b.py", 9)), 2), (7, 1 << 40, (("/\u00e9.py", 1),), 1)]
WHOLE = [
    pickle.dumps(({("/a.py", 1): 2, ("/\u00e9.py", 7): 1 << 40}, {NAMED: 1}, {(NAMED, NAMED): 1}), 1),
    *(pickle.dumps(tracemalloc.Snapshot(TRACES, 4), protocol) for protocol in (2, 5)),
    marshal.dumps({FUNCTION: (1, 3, 0.25, 1.5, {FUNCTION: (2, 0, 0.125, 0.25)})}),
    marshal.dumps({FUNCTION: (1, 3, 0.25, 1.5, {FUNCTION: 1})}, 0),
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
files = st.one_of(pickles, marshals, changed)


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
