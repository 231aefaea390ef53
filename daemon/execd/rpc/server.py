"""Server: the daemon's services on one unix socket."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
from execd_api.v1 import (
    daemon_pb2_grpc,
    profiles_pb2_grpc,
    reports_pb2_grpc,
    runs_pb2_grpc,
    sessions_pb2_grpc,
    targets_pb2_grpc,
)
from grpc_health.v1 import health_pb2_grpc

from execd.rpc.address import address
from execd.rpc.daemon import DaemonServicer
from execd.rpc.health import HealthServicer
from execd.rpc.interceptor import ErrorTranslator
from execd.rpc.profiles import ProfilesServicer
from execd.rpc.reports import ReportsServicer
from execd.rpc.runs import RunsServicer
from execd.rpc.sessions import SessionsServicer
from execd.rpc.targets import TargetsServicer

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from execd.config import Config
    from execd.sessions.registry import Registry
    from execd.sessions.runs import Runs
    from execd.store.store import Store

# A call keeps a thread while it waits: an attach for its target, a stream for its client. Threads are made
# when they are needed, so the number costs nothing at rest; streams, and watches of the health, leave some of them to
# other calls.
MAX_THREADS = 32
MAX_STREAMS = 24
# Calls beyond this are refused by gRPC (RESOURCE_EXHAUSTED); the queue for a thread has an end.
MAX_CALLS = 4 * MAX_THREADS
# A stopped client (Ctrl-Z) of a stream is found by pings, which only connections with a call get.
KEEPALIVE_MS = 60_000
KEEPALIVE_TIMEOUT_MS = 20_000
# A client says at once that it speaks HTTP/2. One that does not, or has no call for long, keeps a descriptor of ours;
# gRPC's own limits are 120 s and none.
HANDSHAKE_MS = 5_000
IDLE_MS = 300_000
# Requests are a few hundred bytes.
MAX_REQUEST_BYTES = 1024 * 1024
# What calls that still run get to end by themselves at a stop.
GRACE_S = 0.3
# The names that health is told under: the daemon as a whole, and execd's services.
HEALTH_NAMES = ("", "execd.v1")


class Server:
    """The services of one daemon, from their first call to the last."""

    def __init__(
        self,
        config: Config,
        registry: Registry,
        store: Store,
        *,
        started_at: float,
        shut_down: Callable[[], None],
        log: logging.Logger,
    ) -> None:
        """Bind the socket; `start` begins to answer.

        Args:
            config: the daemon's places; the caller holds their locks.
            registry: for the calls on targets, sessions and reports.
            store: for the calls on profiles and reports.
            started_at: when the daemon started, seconds since the epoch.
            shut_down: what the call Shutdown does.
            log: gets the failed calls.
        """
        self._health = HealthServicer(HEALTH_NAMES)
        self._server = grpc.server(
            ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="rpc"),
            interceptors=[ErrorTranslator(log, max_streams=MAX_STREAMS)],
            maximum_concurrent_rpcs=MAX_CALLS,
            options=_options(),
        )
        servicer = DaemonServicer(registry, store, config, started_at, shut_down)
        daemon_pb2_grpc.add_DaemonServicer_to_server(servicer, self._server)
        targets_pb2_grpc.add_TargetsServicer_to_server(TargetsServicer(registry), self._server)
        sessions_pb2_grpc.add_SessionsServicer_to_server(SessionsServicer(registry, store), self._server)
        profiles_pb2_grpc.add_ProfilesServicer_to_server(ProfilesServicer(registry, store), self._server)
        reports_pb2_grpc.add_ReportsServicer_to_server(ReportsServicer(registry, store), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._server.add_insecure_port(address(config.socket))
        # The daemon's umask keeps others out from the start; this also takes the needless x bits.
        config.socket.chmod(0o600)

    def add_runs(self, runs: Runs) -> None:
        """Answer the calls on programs that are started for their sessions, too; before `start`."""
        runs_pb2_grpc.add_RunsServicer_to_server(RunsServicer(runs), self._server)

    def start(self) -> None:
        """Begin to answer, and say so."""
        self._server.start()
        self._health.tell(serving=True)

    def refuse(self) -> None:
        """Say NOT_SERVING from now on, to those who watch too; calls are still answered."""
        self._health.tell(serving=False)

    def close(self) -> None:
        """Take no more calls, give those that run GRACE_S, and remove the socket."""
        self._server.stop(GRACE_S).wait()


def _options() -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        # Measured with grpcio 1.85: this one, whose default is 60 s, is what ends the connection.
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
        ("grpc.max_connection_idle_ms", IDLE_MS),
        # Pings must go on while a client takes no data: that is when they are needed.
        ("grpc.http2.max_pings_without_data", 0),
    ]
