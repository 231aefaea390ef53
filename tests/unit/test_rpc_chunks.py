"""execd.rpc.chunks: pieces that a message can carry."""

from __future__ import annotations

import pytest
from execd.rpc.chunks import MAX_BYTES, chunks


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        (0, [0]),
        (1, [1]),
        (MAX_BYTES, [MAX_BYTES]),
        (MAX_BYTES + 1, [MAX_BYTES, 1]),
        (3 * MAX_BYTES, [MAX_BYTES] * 3),
    ],
)
def test_pieces_are_as_big_as_they_may_be(size: int, sizes: list[int]) -> None:
    assert [len(piece) for piece in chunks(bytes(size))] == sizes


def test_pieces_follow_each_other_without_gap() -> None:
    data = bytes(range(256)) * 3000
    assert b"".join(chunks(data)) == data
