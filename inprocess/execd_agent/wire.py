"""The protocol between daemon and agent, without input or output; both sides use this file. See PROTOCOL.md.

A frame is a length (4 bytes, little-endian, of what follows the header), a kind (1 byte), a flag byte and a request
number (2 bytes), then the payload. Control payloads are JSON objects; bulk payloads are raw bytes in parts.
"""

from __future__ import annotations

VERSION = 1

HELLO = 1
REQUEST = 2
REPLY = 3
FAILURE = 4
BULK = 5
EVENT = 6
KINDS = frozenset((HELLO, REQUEST, REPLY, FAILURE, BULK, EVENT))

MORE = 1

_HEADER_SIZE = 8
# A control message of this size would hold 100,000 thread names.
MAX_CONTROL = 1 << 20
MAX_BULK_PART = 1 << 20
# What one reply may carry in all; 1 million nodes are 40 MiB.
MAX_BULK = 64 << 20


class ProtocolError(Exception):
    """The peer sent something that the protocol does not allow."""


class Frame:
    """A received frame: kind, flags, request number, payload bytes."""

    __slots__ = ("flags", "kind", "payload", "request")

    def __init__(self, kind: int, flags: int, request: int, payload: bytes) -> None:
        self.kind = kind
        self.flags = flags
        self.request = request
        self.payload = payload


def encode_frame(kind: int, request: int, payload: bytes, flags: int = 0) -> bytes:
    """Return the bytes of a frame."""
    header = len(payload).to_bytes(4, "little") + bytes((kind, flags)) + request.to_bytes(2, "little")
    return header + payload


def encode_bulk(request: int, payload: bytes) -> list[bytes]:
    """Return a bulk payload as frames, each part but the last marked MORE."""
    frames = []
    for start in range(0, max(len(payload), 1), MAX_BULK_PART):
        part = payload[start : start + MAX_BULK_PART]
        more = MORE if start + MAX_BULK_PART < len(payload) else 0
        frames.append(encode_frame(BULK, request, part, more))
    return frames


class Decoder:
    """Cuts a byte stream into frames. After a ProtocolError the stream is of no more use."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def in_frame(self) -> bool:
        """Whether a part of a frame has come and the rest has not."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that are complete now.

        Raises:
            ProtocolError: unknown kind, flag or an oversized frame; raised on the header, before the payload is kept.
        """
        self._buffer += data
        frames = []
        while len(self._buffer) >= _HEADER_SIZE:
            length = int.from_bytes(self._buffer[:4], "little")
            kind, flags = self._buffer[4], self._buffer[5]
            _check_header(kind, flags, length)
            if len(self._buffer) < _HEADER_SIZE + length:
                break
            payload = bytes(self._buffer[_HEADER_SIZE : _HEADER_SIZE + length])
            request = int.from_bytes(self._buffer[6:8], "little")
            del self._buffer[: _HEADER_SIZE + length]
            frames.append(Frame(kind, flags, request, payload))
        return frames


def _check_header(kind: int, flags: int, length: int) -> None:
    if kind not in KINDS:
        raise ProtocolError("unknown frame kind %d" % kind)
    if flags & ~MORE or (flags and kind != BULK):
        raise ProtocolError("unknown flags %d in a frame of kind %d" % (flags, kind))
    limit = MAX_BULK_PART if kind == BULK else MAX_CONTROL
    if length > limit:
        raise ProtocolError("a frame of %d bytes is over the limit of %d" % (length, limit))


_LAST_OF_BASIC_PLANE = 0xFFFF
_ESCAPES = {index: "\\u%04x" % index for index in range(32)}
_ESCAPES.update({ord('"'): '\\"', ord("\\"): "\\\\", 0x7F: "\\u007f"})


def encode_json(value: object) -> bytes:
    """Return a value of dicts, lists, texts, numbers, booleans and None as JSON in ASCII.

    The agent has this of its own because the json package would bring 33 modules into the target.
    """
    return _json_text(value).encode("ascii")


def _json_text(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return _json_string(value)
    if isinstance(value, dict):
        return "{" + ",".join([_json_string(str(key)) + ":" + _json_text(item) for key, item in value.items()]) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([_json_text(item) for item in value]) + "]"
    raise TypeError(type(value).__name__)


def _json_string(text: str) -> str:
    escaped = text.translate(_ESCAPES)
    if not escaped.isascii():
        escaped = "".join([item if item < "\x80" else _unicode_escape(ord(item)) for item in escaped])
    return '"' + escaped + '"'


def _unicode_escape(point: int) -> str:
    if point <= _LAST_OF_BASIC_PLANE:
        return "\\u%04x" % point
    point -= 0x10000
    return "\\u%04x\\u%04x" % (0xD800 + (point >> 10), 0xDC00 + (point & 0x3FF))


def encode_table(header: dict[str, object], arrays: list[tuple[str, str, bytes]]) -> bytes:
    """Return a bulk payload: a JSON header that names the arrays, then their bytes one after the other.

    Args:
        header: JSON values; "arrays" is added.
        arrays: (name, item type, bytes); the type is "i4", "i8" or "u1", little-endian.
    """
    directory = [[name, kind, len(data)] for name, kind, data in arrays]
    text = encode_json({**header, "arrays": directory})
    return len(text).to_bytes(4, "little") + text + b"".join([data for _, _, data in arrays])
