"""Bytes from strangers: ELF images, memory maps, files of /proc. Read, or refused by name, whatever they are."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from elf_lies import WHOLE, read, read_loaded
from execd.attach import process
from execd.errors import TargetGone
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

FUZZ_S = float(os.environ.get("EXECD_FUZZ_S", "600"))

images = st.tuples(st.binary(max_size=300), st.integers(0, len(WHOLE)))
names = st.binary(min_size=1, max_size=15).filter(lambda name: b"\0" not in name)
numbers = st.integers(0, 1 << 70)
rows = st.builds(
    lambda start, end, permissions, offset, inode, path: b"%x-%x %b %x 08:01 %d %b\n"
    % (start, end, permissions, offset, inode, path),
    *(numbers, numbers, st.sampled_from([b"r-xp", b"rw-p", b"r--", b"-----", b"r xp"]), numbers, numbers),
    st.binary(max_size=50),
)
lines = st.lists(st.one_of(st.binary(max_size=200), rows))


def look_at_image(image: tuple[bytes, int]) -> None:
    data, place = image
    read_loaded(WHOLE[:64] + data)
    for whole in (data, WHOLE[:place] + data + WHOLE[place + len(data) :]):
        for found in (read(whole), read_loaded(whole)):
            assert found is None or all(0 <= value < 1 << 64 for value in found.symbols.values())


def look_at_map(parts: list[bytes]) -> None:
    for found in process.parse_mappings(parts):
        assert 0 <= found.start < 1 << 64
        assert 0 <= found.end < 1 << 64
        assert found.inode >= 0


def look_at_status(data: bytes) -> None:
    for parse in (process.parse_status, process.parse_start_ticks):
        try:
            parse(1, data)
        except TargetGone as gone:
            assert "is ending" in gone.message  # noqa: PT017 -- it may be raised, and need not be


def look_at_name(name: bytes) -> None:
    """The kernel writes a name as it is into one file, with its line ends escaped into the other."""
    shown = name.replace(b"\n", b"\\n")
    facts = process.parse_status(1, b"Name:\t" + shown + b"\n" + STATUS)
    assert (facts.state, facts.uid, facts.effective_uid, facts.tracer_pid) == ("S", 1000, 1001, 7)
    assert (facts.seccomp, facts.shadow_stack) == (2, False)
    assert process.parse_start_ticks(1, b"1 (" + name + b") " + STAT) == 4711


STATUS = b"Umask:\t0022\nState:\tS (sleeping)\nTracerPid:\t7\nUid:\t1000\t1001\t1000\t1000\nSeccomp:\t2\n"
STAT = b"S " + b"1 " * 18 + b"4711 1 1\n"
FUZZED: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], None]]] = {
    "images": (images, look_at_image),
    "maps": (lines, look_at_map),
    "status": (st.binary(max_size=300), look_at_status),
    "names": (names, look_at_name),
}


@pytest.mark.parametrize("what", FUZZED)
def test_any_bytes_are_read_or_refused(what: str) -> None:
    strategy, look = FUZZED[what]
    settings(max_examples=100, deadline=None)(given(strategy)(look))()


@pytest.mark.soak
@pytest.mark.timeout(FUZZ_S + 120)
@pytest.mark.parametrize("what", FUZZED)
def test_many_bytes_are_read_or_refused(what: str) -> None:
    """EXECD_FUZZ_S seconds in all."""
    strategy, look = FUZZED[what]
    deadline = time.monotonic() + FUZZ_S / len(FUZZED)
    while time.monotonic() < deadline:
        settings(max_examples=2000, deadline=None, database=None)(given(strategy)(look))()
