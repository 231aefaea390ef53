"""Peer: asks a running daemon, for `execd start` and `execd status`."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from execd_api.v1 import daemon_pb2, daemon_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from execd.rpc.address import address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVING = health_pb2.HealthCheckResponse.SERVING
SERVICE = "execd.v1"
# gRPC's own 1 s before the second try is long for a daemon that starts in half of that.
RECONNECT_MS = 50
CONNECT_MS = 2000


@dataclass(frozen=True, slots=True)
class DaemonInfo:
    """A daemon as it says it stands.

    Attributes:
        pid: its process.
        version: "0.1.0".
        data_dir: its data directory.
        socket: its socket.
        started_at: seconds since the epoch.
        attached_targets: targets that its agent is in.
        running_sessions: sessions that record.
        stored_profiles: profiles in its store.
        store_bytes: what the store takes on disk.
        keep_days, keep_bytes: profiles go when they are older, or bigger together.
    """

    pid: int
    version: str
    data_dir: str
    socket: str
    started_at: float
    attached_targets: int
    running_sessions: int
    stored_profiles: int
    store_bytes: int
    keep_days: float
    keep_bytes: int


def serving(socket: Path, timeout_s: float) -> int | None:
    """Return the PID of the daemon that serves on a socket, or None when none does within the time."""
    answer = info(socket, timeout_s)
    return answer.pid if answer else None


def info(socket: Path, timeout_s: float) -> DaemonInfo | None:
    """Return what the daemon says that serves on a socket, or None when none does within the time."""
    try:
        with _channel(socket) as channel:
            if not _comes_to_serve(channel, timeout_s):
                return None
            answer = daemon_pb2_grpc.DaemonStub(channel).Info(daemon_pb2.InfoRequest(), timeout=timeout_s)
    except grpc.RpcError:
        return None
    return DaemonInfo(**{name: getattr(answer, name) for name in DaemonInfo.__slots__})


def _comes_to_serve(channel: grpc.Channel, timeout_s: float) -> bool:
    question = health_pb2.HealthCheckRequest(service=SERVICE)
    health = health_pb2_grpc.HealthStub(channel)
    deadline = time.monotonic() + timeout_s
    # Not Watch: it keeps one of the daemon's threads, of which it has few to spare.
    while health.Check(question, timeout=timeout_s, wait_for_ready=True).status != SERVING:
        if time.monotonic() > deadline:
            return False
        time.sleep(RECONNECT_MS / 1000)
    return True


@contextmanager
def _channel(socket: Path) -> Iterator[grpc.Channel]:
    options = [
        ("grpc.initial_reconnect_backoff_ms", RECONNECT_MS),
        # How long a connection may take to be made, whatever its name says.
        ("grpc.min_reconnect_backoff_ms", CONNECT_MS),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_MS),
        # What one probe failed with must not hold up the next: else they share a connection's state.
        ("grpc.use_local_subchannel_pool", 1),
        # A proxy of the environment is not for a unix socket.
        ("grpc.enable_http_proxy", 0),
    ]
    with grpc.insecure_channel(address(socket), options=options) as channel:
        yield channel
