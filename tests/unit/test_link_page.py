"""The page of an attach: where nothing of the target comes while the attach is on its way."""

from __future__ import annotations

import os

import pytest
from execd.attach import process
from execd.attach.link import _free_address
from execd.errors import NotSupported

# What malloc may map at once for the arena of a new thread, twice over.
ARENA_BYTES = 128 << 20
FULL = process.Mapping(0, (1 << 47) - (1 << 20), "rw-p", 0, "00:00", 0, "")
LAST = process.Mapping((1 << 47) - (1 << 19), (1 << 47) - (1 << 16), "rw-p", 0, "00:00", 0, "[stack]")


def test_the_page_is_far_from_everything_that_is_mapped() -> None:
    mappings = process.mappings(os.getpid())
    page = _free_address(os.getpid(), mappings)
    nearest = min(min(abs(page - mapping.start), abs(page - mapping.end)) for mapping in mappings)
    assert nearest > ARENA_BYTES
    assert not any(mapping.start <= page < mapping.end for mapping in mappings)


def test_a_process_without_room_is_refused() -> None:
    with pytest.raises(NotSupported, match="address space"):
        _free_address(1, [FULL, LAST])
