"""What the kernel hands over beside the bytes of a unix socket: who sent them, and files."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CREDENTIALS = struct.Struct("iII")
_FILE_BYTES = 4
# Room for who sent it, and for one file; of more the kernel lets go itself.
SPACE = socket.CMSG_SPACE(CREDENTIALS.size) + socket.CMSG_SPACE(_FILE_BYTES)


def sender(ancillary: Iterable[tuple[int, int, bytes]]) -> tuple[int, int] | None:
    """Return process and user of whoever sent it, as the kernel knows them; None where it does not say."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS) and len(data) >= CREDENTIALS.size:
            pid, uid, _ = CREDENTIALS.unpack(data[: CREDENTIALS.size])
            return pid, uid
    return None


def files(ancillary: Iterable[tuple[int, int, bytes]]) -> list[int]:
    """Return the files that came with it; they are the caller's to close."""
    found: list[int] = []
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            whole = len(data) - len(data) % _FILE_BYTES
            found += struct.unpack(f"{whole // _FILE_BYTES}i", data[:whole])
    return found


def drop(descriptors: Iterable[int]) -> None:
    """Close files that nobody asked for."""
    for descriptor in descriptors:
        os.close(descriptor)
