"""Chunks: bytes cut for a stream, because gRPC takes a message only up to a few MiB."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 256 * 1024


def chunks(data: bytes) -> Iterator[bytes]:
    """Yield pieces of at most MAX_BYTES that follow each other without gap; an empty one for no data."""
    for start in range(0, max(1, len(data)), MAX_BYTES):
        yield data[start : start + MAX_BYTES]
