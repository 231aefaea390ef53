"""A client of HTTP/2 that does what gRPC's own never does: frames by hand, no windows, half of everything."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS = 0, 1, 3, 4
CANCEL = 8
END_STREAM, END_HEADERS = 1, 4
INITIAL_WINDOW_SIZE = 4


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """The bytes of a frame (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def settings(window: int) -> bytes:
    """The frame that says how many bytes of a stream the client takes."""
    return frame(SETTINGS, 0, 0, INITIAL_WINDOW_SIZE.to_bytes(2, "big") + window.to_bytes(4, "big"))


def call(stream: int, method: str, message: bytes) -> bytes:
    """The frames of a call with one message.

    Args:
        stream: odd, higher than those before.
        method: "/package.Service/Method".
        message: serialized.
    """
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": method,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    # Literal fields with a new name, not indexed, not compressed (RFC 7541, 6.2.2).
    block = b"".join(b"\0" + text(name) + text(value) for name, value in fields.items())
    body = b"\0" + len(message).to_bytes(4, "big") + message
    return frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, body)


def reset(stream: int) -> bytes:
    """The frame that cancels a call."""
    return frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big"))


def text(value: str) -> bytes:
    """A string literal of less than 127 characters."""
    return bytes((len(value),)) + value.encode()


def connected(path: Path) -> socket.socket:
    """A connection to a socket."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    return connection
