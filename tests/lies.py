"""What a lying agent answers: bytes for a request's number, by name of the lie."""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING

from execd_agent import wire
from fake_agents import THREAD, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MIB = 1 << 20
ROWS = 10_000_000
DRIP_S = 0.05
COLUMNS = ("calls", "self_ns", "open")
PLACES = ("parents", "node_locations", "node_labels")


@dataclass(frozen=True)
class Lie:
    """A lie: to which operation it is told, what it consists of, and what the daemon says of it.

    Attributes:
        operation: "ping", "stop"...; all others are answered honestly.
        answer: the bytes for a request's number, one piece after the other; they may have no end.
        why: a part of the reason for which the session ends, "" where it goes on.
    """

    operation: str
    answer: Callable[[int], Iterable[bytes]]
    why: str


def reply(number: int, text: bytes = b"{}") -> bytes:
    """A reply of any text."""
    return wire.encode_frame(wire.REPLY, number, text)


def announced(number: int) -> bytes:
    """A reply that announces bulk."""
    return reply(number, b'{"bulk": true}')


def header(length: int, kind: int, number: int, flags: int = 0) -> bytes:
    """The header of a frame."""
    return length.to_bytes(4, "little") + bytes((kind, flags)) + number.to_bytes(2, "little")


def bulk(payload: bytes) -> Callable[[int], Iterable[bytes]]:
    """What answers with a bulk."""
    return lambda number: (announced(number), *wire.encode_bulk(number, payload))


def endless(part: bytes) -> Callable[[int], Iterable[bytes]]:
    """What answers with a bulk in parts without end."""
    return lambda number: chain(
        [announced(number)], repeat(wire.encode_frame(wire.BULK, number, part, wire.MORE) * (1 if part else 4096))
    )


def rows(nodes: int, **changed: tuple[str, bytes]) -> bytes:
    """A table of one function and so many nodes in one stack; `changed` arrays take the place of theirs."""
    arrays = {
        "text_bytes": ("u1", b"f"),
        "text_lengths": ("i4", array("i", (1,)).tobytes()),
        "functions": ("i4", array("i", (0, 0, 0, 1)).tobytes()),
        "locations": ("i4", bytes(8)),
        "parents": ("i4", array("i", range(-1, nodes - 1)).tobytes()),
        **{name: ("i4", bytes(4 * nodes)) for name in PLACES[1:]},
        **{name: ("i8", bytes(8 * nodes)) for name in COLUMNS},
        **changed,
    }
    facts = {"labels": [THREAD], "lost": {}, "caveats": []}
    return wire.encode_table(facts, [(name, *value) for name, value in arrays.items()])


def wide_texts(count: int) -> bytes:
    """A table of so many texts of one character that Latin-1 has not."""
    lengths = array("i", [3] * count).tobytes()
    return rows(1, text_bytes=("u1", "\u20ac".encode() * count), text_lengths=("i4", lengths))


def with_header(text: bytes) -> bytes:
    """A table that is its header alone."""
    return len(text).to_bytes(4, "little") + text


def repeated(item: bytes, count: int) -> bytes:
    """A JSON list of one item again and again."""
    return b"[" + b",".join([item] * count) + b"]"


def strange(facts: bytes) -> bytes:
    """An honest table with other facts at the front of its header."""
    honest = table(7)
    size = int.from_bytes(honest[:4], "little")
    text = honest[4 : 4 + size].removesuffix(b"}") + b"," + facts + b"}"
    return with_header(text) + honest[4 + size :]


def dripping(number: int) -> Iterable[bytes]:
    """A reply that comes byte by byte."""
    yield header(1000, wire.REPLY, number)
    while True:
        time.sleep(DRIP_S)
        yield b" "


def ten_million(number: int) -> Iterable[bytes]:
    """A table that has as many rows."""
    yield announced(number)
    directory = [[name, "i4", 4 * ROWS] for name in PLACES] + [[name, "i8", 8 * ROWS] for name in COLUMNS]
    start = with_header(wire.encode_json({"labels": [THREAD], "lost": {}, "caveats": [], "arrays": directory}))
    for part in chain([start], repeat(bytes(MIB), 36 * ROWS // MIB)):
        yield wire.encode_frame(wire.BULK, number, part, wire.MORE)


BREACH, CORRUPT = "broke the protocol: ", "where 48 are allowed"
ONE_WIDE = "\U0001f980".encode() + b"x" * (12 * MIB)
LIES: dict[str, Lie] = {
    "4 GB announced": Lie("stop", lambda number: [header(0xFFFFFFFF, wire.REPLY, number)], BREACH),
    "4 GB of bulk announced": Lie(
        "stop", lambda number: [announced(number), header(0xFFFFFFFF, wire.BULK, number)], BREACH
    ),
    "bulk without end": Lie("stop", endless(bytes(MIB)), "its answer is larger than 24 MiB"),
    "10 million rows": Lie("stop", ten_million, "its answer is larger than 24 MiB"),
    "frames of nothing without end": Lie("ping", endless(b""), "its answer did not come to an end in time"),
    "a drip": Lie("ping", dripping, "its answer did not come to an end in time"),
    "a million functions": Lie(
        "stop", lambda number: bulk(rows(1, functions=("i4", bytes(16 << 20))))(number), CORRUPT
    ),
    "millions of texts": Lie(
        "stop", lambda number: bulk(rows(1, text_lengths=("i4", bytes(20 << 20))))(number), CORRUPT
    ),
    "a name that one character makes wide": Lie(
        "stop",
        lambda number: bulk(
            rows(1, text_bytes=("u1", ONE_WIDE), text_lengths=("i4", array("i", (len(ONE_WIDE),)).tobytes()))
        )(number),
        CORRUPT,
    ),
    "a header of a million objects": Lie(
        "stop",
        lambda number: bulk(with_header(b'{"arrays":' + repeated(b"[]", MIB // 3 - 6) + b"}"))(number),
        "directory does not fit",
    ),
    "a reply of a million objects": Lie(
        "stop", lambda number: [reply(number, repeated(b"{}", MIB // 3 - 1))], "not an object"
    ),
    "recursion": Lie("stop", lambda number: [reply(number, b'{"a":' * 200_000)], "not JSON"),
    "a table of recursion": Lie("stop", bulk(with_header(b"[" * 500_000)), "not JSON"),
    "a node that is its own parent": Lie(
        "stop",
        bulk(rows(3, parents=("i4", array("i", (-1, 1, 1)).tobytes()))),
        "does not stand before it",
    ),
    "an answer to another request": Lie("stop", lambda number: [reply(number + 1)], "another request"),
    "an event": Lie("stop", lambda number: [wire.encode_frame(wire.EVENT, number, b"{}")], BREACH),
    "no table": Lie("stop", lambda number: [reply(number)], "without its header"),
    "a failure as long as can be": Lie(
        "stop",
        lambda number: [wire.encode_frame(wire.FAILURE, number, b'{"message": "' + b"x" * 1_000_000 + b'"}')],
        "failed: xxx",
    ),
    "negative figures": Lie("stop", bulk(rows(1, calls=("i8", array("q", (-1,)).tobytes()))), "negative figure"),
    "figures without bounds": Lie(
        "stop", bulk(rows(3, self_ns=("i8", array("q", [(1 << 63) - 1] * 3).tobytes()))), "no clock"
    ),
    "a thread that is true": Lie(
        "stop", bulk(strange(b'"labels":[{"thread_id":true,"thread_name":"","domain":0}]')), "a label"
    ),
    "bulk without end at a snapshot": Lie("snapshot", endless(bytes(MIB)), "its answer is larger than 24 MiB"),
    "a hello that is noise": Lie("hello", lambda _number: [bytes(range(256)) * 4096], BREACH),
    "a hello of a million objects": Lie(
        "hello", lambda _number: [wire.encode_frame(wire.HELLO, 0, repeated(b"{}", MIB // 3 - 1))], "not an object"
    ),
    "a hello of another agent": Lie(
        "hello", lambda _number: [wire.encode_frame(wire.HELLO, 0, b'{"protocol":1,"nonce":"0"}')], "does not fit"
    ),
    "a hello that refuses at length": Lie(
        "hello",
        lambda _number: [wire.encode_frame(wire.FAILURE, 0, b'{"message":"' + b"no " * 300_000 + b'"}')],
        "cannot take the agent: no no",
    ),
    "a start without end": Lie("start", endless(bytes(MIB)), "its answer is larger than 24 MiB"),
    "a start that answers a hello": Lie(
        "start", lambda _number: [wire.encode_frame(wire.HELLO, 0, b"{}")], "another request"
    ),
    # What is not believed does no harm: the session goes on, and ends as one should.
    "as many functions as are believed": Lie("stop", bulk(rows(1, functions=("i4", bytes(16 * 255_000)))), ""),
    "as many texts as are believed": Lie("stop", bulk(wide_texts(400_000)), ""),
    "a deep tree": Lie("stop", lambda number: bulk(rows(500_000))(number), ""),
    "a span of 400 digits": Lie("stop", bulk(strange(b'"span_ns":1' + b"0" * 400)), ""),
    "a span that is no number": Lie("stop", bulk(strange(b'"span_ns":NaN,"lost":{"a":Infinity,"b":true}')), ""),
    "CPU time of 4,000 digits": Lie("ping", lambda number: [reply(number, b'{"cpu_ns":1' + b"0" * 4000 + b"}")], ""),
    "memory of 4,000 digits": Lie(
        "ping", lambda number: [reply(number, b'{"memory_bytes":{"calls":1' + b"0" * 4000 + b"}}")], ""
    ),
    "wrong types": Lie("ping", lambda number: [reply(number, b'{"cpu_ns":[],"memory_bytes":7,"bulk":1}')], ""),
}
