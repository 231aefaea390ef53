"""ELF files, mutilated: an image or NotAnElf, within a bearable time."""

from __future__ import annotations

import os
import struct
import sysconfig
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from execd.attach import elf
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

# The smallest shared object with a hash table of symbols that every installation has.
EXTENSIONS = Path(sysconfig.get_config_var("DESTSHARED"))
SMALL = min(EXTENSIONS.glob("*.so"), key=lambda path: path.stat().st_size)
INIT = "PyInit_" + SMALL.name.partition(".")[0]
WHOLE = SMALL.read_bytes()
HEADER_SIZE = 64
LIMIT_S = 2.0


@contextmanager
def as_file(data: bytes) -> Iterator[int]:
    descriptor = os.memfd_create("image")
    os.write(descriptor, data)
    yield descriptor
    os.close(descriptor)


def read(data: bytes) -> elf.Image:
    with as_file(data) as descriptor:
        return elf.read_image(descriptor, (INIT, "no_such_symbol"), (INIT,))


def sound_or_refused(data: bytes) -> None:
    began = time.monotonic()
    try:
        image = read(data)
    except elf.NotAnElf:
        pass
    else:
        assert all(isinstance(value, int) for value in image.symbols.values())
    assert time.monotonic() - began < LIMIT_S


def test_a_symbol_is_found_and_another_is_not() -> None:
    assert set(read(WHOLE).symbols) == {INIT}


def test_the_descriptor_stays_open() -> None:
    with as_file(WHOLE) as descriptor:
        first = elf.read_image(descriptor, (INIT,), ())
        assert elf.read_image(descriptor, (INIT,), ()) == first


@pytest.mark.parametrize("length", [0, 1, 4, 16, 63, 64, 65, 120, 1000, len(WHOLE) // 2, len(WHOLE) - 1])
def test_a_file_that_was_cut_off_is_refused_or_sound(length: int) -> None:
    sound_or_refused(WHOLE[:length])


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF" + bytes(60), b"MZ" + bytes(1000)])
def test_what_is_no_elf_file_is_refused(data: bytes) -> None:
    with pytest.raises(elf.NotAnElf):
        read(data)


@pytest.mark.parametrize("machine", [3, 183, 0xFFFF])
def test_another_machines_file_is_refused(machine: int) -> None:
    data = bytearray(WHOLE)
    struct.pack_into("<H", data, 18, machine)
    with pytest.raises(elf.NotAnElf, match="it is for"):
        read(bytes(data))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, HEADER_SIZE - 1), st.integers(0, 255)), min_size=1, max_size=4))
@example([(place, 0xFF) for place in range(40, 48)])
@example([(60, 0), (61, 0)])
def test_a_mutilated_header_is_refused_or_sound(changes: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE)
    for place, value in changes:
        data[place] = value
    sound_or_refused(bytes(data))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=40))
def test_a_mutilated_file_is_refused_or_sound(changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(WHOLE)
    for place, piece in changes:
        data[place : place + len(piece)] = piece
    sound_or_refused(bytes(data[: len(WHOLE)]))


def test_a_file_that_announces_sections_without_end_is_refused() -> None:
    """e_shnum 0: the number stands in the first section; e_shentsize 0: all of them lie at one place."""
    data = bytearray(WHOLE)
    (sections,) = struct.unpack_from("<Q", data, 40)
    struct.pack_into("<HH", data, 58, 0, 0)
    struct.pack_into("<Q", data, sections + 32, 1 << 60)
    sound_or_refused(bytes(data))


def test_a_file_that_announces_segments_without_end_is_refused() -> None:
    data = bytearray(WHOLE)
    (sections,) = struct.unpack_from("<Q", data, 40)
    struct.pack_into("<HH", data, 54, 0, 0xFFFF)
    struct.pack_into("<I", data, sections + 44, 0xFFFFFFFF)
    sound_or_refused(bytes(data))
