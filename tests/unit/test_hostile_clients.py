"""Clients that mean harm on the daemon's socket: it answers the others all the time, and forgets them."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import http2_client as http2
import pytest
from execd.config import Config
from execd.rpc import health, server
from execd.rpc.address import address
from execd_api.v1 import daemon_pb2, daemon_pb2_grpc, sessions_pb2, sessions_pb2_grpc
from footprint import becomes
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rpc_fakes import WAIT_S, FakeRegistry, FakeStore

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

HANDSHAKE_MS = 500
NAME = health_pb2.HealthCheckRequest(service="execd.v1")
SERVING = health_pb2.HealthCheckResponse.SERVING
WATCH_HEALTH = "/grpc.health.v1.Health/Watch"
WATCH_SESSION = "/execd.v1.Sessions/Watch"
FOREVER = sessions_pb2.WatchRequest(session="forever").SerializeToString()


class Served:
    """A server in this process, and a client that means no harm."""

    def __init__(self, made: server.Server, path: Path, channel: grpc.Channel) -> None:
        self.server = made
        self.path = path
        self.health = health_pb2_grpc.HealthStub(channel)
        self._daemon = daemon_pb2_grpc.DaemonStub(channel)
        self._sessions = sessions_pb2_grpc.SessionsStub(channel)

    def answers(self) -> bool:
        """Whether two calls are answered, one of them by a thread of the pool."""
        self._daemon.Info(daemon_pb2.InfoRequest(), timeout=WAIT_S)
        status: int = self.health.Check(NAME, timeout=WAIT_S).status
        return status == SERVING

    def streams(self) -> bool:
        """Whether there is room for a stream."""
        try:
            return bool(list(self._sessions.Watch(sessions_pb2.WatchRequest(session="s1"), timeout=WAIT_S)))
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017 -- it may be raised, and need not be
            return False


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(server, "HANDSHAKE_MS", HANDSHAKE_MS)
    # pytest's own directories have paths that are too long for a socket.
    root = Path(tempfile.mkdtemp(prefix="ex"))
    config = Config(root / "data", root / "s")
    made = server.Server(
        config,
        FakeRegistry(),  # type: ignore[arg-type]
        FakeStore(),  # type: ignore[arg-type]
        started_at=12.5,
        shut_down=lambda: None,
        log=logging.getLogger("execd"),
    )
    made.start()
    with grpc.insecure_channel(address(config.socket)) as channel:
        yield Served(made, config.socket, channel)
    made.close()
    shutil.rmtree(root)


@contextmanager
def never_reading(served: Served, method: str, message: bytes, count: int) -> Iterator[None]:
    """So many calls of clients that take no data, each of which has come to the server."""
    with ExitStack() as closing:
        for _ in range(count):
            connection = closing.enter_context(http2.connected(served.path))
            connection.sendall(http2.PREFACE + http2.settings(0) + http2.call(1, method, message))
            await_answer(connection)
        yield


def await_answer(connection: socket.socket) -> None:
    """Waits for the headers, or the trailers, of an answer: they need no window."""
    connection.settimeout(WAIT_S)
    said = b""
    while b"application/grpc" not in said:
        part = connection.recv(1 << 16)
        assert part, "the server hung up"
        said += part


def test_a_watch_that_takes_no_data_holds_up_no_other_call(served: Served) -> None:
    """Where the health is told under a lock, the end of the one watch waits for the other one for ever."""
    watch = served.health.Watch(NAME)
    assert next(watch).status == SERVING
    with never_reading(served, WATCH_HEALTH, NAME.SerializeToString(), 1):
        watch.cancel()
        assert served.answers()


def test_watches_of_the_health_are_bounded_and_those_that_ended_make_room(served: Served) -> None:
    def has_room() -> bool:
        watch = served.health.Watch(NAME, timeout=WAIT_S)
        try:
            return bool(next(watch).status == SERVING)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017 -- it may be raised, and need not be
            return False
        finally:
            watch.cancel()

    with never_reading(served, WATCH_HEALTH, NAME.SerializeToString(), health.MAX_WATCHES):
        assert not has_room()
        assert served.answers()
    assert becomes(has_room, WAIT_S)


def test_a_watch_of_the_health_tells_each_change_and_ends_with_the_server(served: Served) -> None:
    watch = served.health.Watch(NAME, timeout=WAIT_S)
    assert next(watch).status == SERVING
    served.server.refuse()
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    served.server.close()
    with pytest.raises(grpc.RpcError):
        next(watch)


def test_an_unknown_service_is_told_so(served: Served) -> None:
    unknown = health_pb2.HealthCheckRequest(service="another")
    with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
        served.health.Check(unknown, timeout=WAIT_S)
    watch = served.health.Watch(unknown, timeout=WAIT_S)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


def test_streams_that_nobody_reads_leave_room_for_other_calls(served: Served) -> None:
    with never_reading(served, WATCH_SESSION, FOREVER, server.MAX_STREAMS + 4):
        assert not served.streams()
        assert served.answers()
    assert becomes(served.streams, WAIT_S)


def test_answers_that_nobody_takes_hold_up_no_other_call(served: Served) -> None:
    calls = b"".join(http2.call(n, "/execd.v1.Daemon/Info", b"") for n in range(1, 2 * server.MAX_CALLS + 1, 2))
    with http2.connected(served.path) as connection:
        connection.sendall(http2.PREFACE + http2.settings(0) + calls)
        await_answer(connection)
        assert served.answers()


def test_calls_that_are_cut_as_soon_as_they_are_made_leave_nothing(served: Served) -> None:
    with http2.connected(served.path) as connection:
        calls = (http2.call(n, WATCH_SESSION, FOREVER) + http2.reset(n) for n in range(1, 2000, 2))
        connection.sendall(http2.PREFACE + http2.settings(0))
        connection.sendall(b"".join(calls))
        assert served.answers()
        assert becomes(served.streams, WAIT_S)


GARBAGE = {
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: execd\r\n\r\n",
    "TLS": bytes.fromhex("160301020001000001fc0303") + bytes(500),
    "noise": os.urandom(4096),
    "half of the preface": http2.PREFACE[:10],
    "half of a frame": http2.PREFACE + http2.settings(0)[:7],
    "a frame of 16 MiB": http2.PREFACE + http2.settings(0) + b"\xff\xff\xff\0\0\0\0\0\1" + bytes(1 << 16),
    "a call without its headers": http2.PREFACE + http2.settings(0) + http2.frame(http2.DATA, 0, 1, b"x"),
    "headers that are none": http2.PREFACE + http2.settings(0) + http2.frame(http2.HEADERS, 4, 1, b"\xff" * 1000),
    "headers that go on": http2.PREFACE + http2.settings(0) + http2.frame(http2.HEADERS, 0, 1, b"\0\1a\1b") * 2,
    "a message of 4 GB": http2.PREFACE
    + http2.settings(0)
    + http2.call(1, WATCH_HEALTH, b"")[:-5]
    + b"\0\xff\xff\xff\xff",
}


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_on_the_socket_disturbs_nobody(served: Served, what: str) -> None:
    with http2.connected(served.path) as connection:
        connection.sendall(GARBAGE[what])
        assert served.answers()
    assert served.answers()


def test_connections_that_say_nothing_are_closed(served: Served) -> None:
    assert served.answers()
    before = descriptors()
    with ExitStack() as closing:
        for _ in range(300):
            closing.enter_context(http2.connected(served.path))
        assert becomes(lambda: descriptors() >= before + 600, WAIT_S)
        assert served.answers()
        # Ours stay open, the server's do not.
        assert becomes(lambda: descriptors() <= before + 300, WAIT_S)
        assert served.answers()


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
