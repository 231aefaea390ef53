"""Uploads: files that come in pieces from a client."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from execd.errors import UsageError
from execd.imports.pickle_reader import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from execd_api.v1 import profiles_pb2

# Of all files of one call; the contract names both limits.
MAX_BYTES_IN_ALL = 256 << 20
# From one piece of a file to the next.
MAX_SILENCE_S = 30.0
# What Linux has for a path.
_MAX_NAME = 4096


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it came.

    Attributes:
        file: its name.
        format: that it is said to have, or "".
        unit: of what it is said to count, or "".
        data: its content.
    """

    file: str
    format: str
    unit: str
    data: bytes


def uploads(pieces: Iterator[profiles_pb2.ImportChunk], give_up: Callable[[], object]) -> Iterator[Upload]:
    """Yield each file when it is there.

    Args:
        pieces: as they come.
        give_up: called where none has come for a time; it ends `pieces`.

    Raises:
        UsageError: a file is over the limits, which is told before it comes, or does not come whole.
    """
    room = MAX_BYTES_IN_ALL
    received = _received(pieces, give_up)
    for first in received:
        room -= first.size
        _check(first, room)
        data = bytearray(first.data)
        while len(data) < first.size:
            piece = next(received, None)
            if piece is None or piece.file:
                raise UsageError(f"{first.file}: {len(data)} of its {first.size} bytes came", remedy="import it again")
            data += piece.data
        if len(data) > first.size:
            raise UsageError(f"{first.file} is longer than the {first.size} bytes that were told", file=first.file)
        yield Upload(first.file, first.format, first.unit, bytes(data))


def _received(
    pieces: Iterator[profiles_pb2.ImportChunk], give_up: Callable[[], object]
) -> Iterator[profiles_pb2.ImportChunk]:
    try:
        while True:
            # A client that was suspended would keep all others' files waiting.
            patience = threading.Timer(MAX_SILENCE_S, give_up)
            patience.daemon = True
            patience.start()
            try:
                piece = next(pieces, None)
            finally:
                patience.cancel()
            if piece is None:
                return
            yield piece
    except grpc.RpcError:
        raise UsageError("the client went away in the midst of a file", remedy="import it again") from None


def _check(first: profiles_pb2.ImportChunk, room: int) -> None:
    """Refuse a file by what its first piece says."""
    if not first.file or len(first.file) > _MAX_NAME:
        raise UsageError("a file to import has no name, or too long a one")
    if first.size > MAX_BYTES:
        raise UsageError(
            f"{first.file} has {first.size} bytes, and a file to import may have {MAX_BYTES} (64 MiB)",
            remedy="record for a shorter time, or with fewer frames",
            file=first.file,
        )
    if room < 0:
        raise UsageError(
            f"with {first.file} the files have over {MAX_BYTES_IN_ALL} bytes (256 MiB)",
            remedy="import fewer at a time",
            file=first.file,
        )
