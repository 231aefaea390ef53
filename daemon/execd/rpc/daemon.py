"""The service Daemon: what this daemon is, and its end."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd_api.v1 import daemon_pb2 as pb
from execd_api.v1 import daemon_pb2_grpc

from execd import __version__
from execd.model.retention import DAY_S
from execd.rpc.convert import text

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

    from execd.config import Config
    from execd.sessions.registry import Registry
    from execd.store.store import Store


@dataclass(frozen=True, slots=True)
class DaemonServicer(daemon_pb2_grpc.DaemonServicer):
    """Answers the calls of Daemon.

    Attributes:
        registry: what is attached and runs.
        store: what is stored.
        config: the daemon's places.
        started_at: seconds since the epoch.
        shut_down: asks the main thread to end the daemon, and returns at once.
    """

    registry: Registry
    store: Store
    config: Config
    started_at: float
    shut_down: Callable[[], None]

    def Info(self, request: pb.InfoRequest, context: grpc.ServicerContext) -> pb.InfoResponse:
        """Return what this daemon is and holds."""
        del request, context
        totals = self.store.totals()
        return pb.InfoResponse(
            pid=os.getpid(),
            version=__version__,
            data_dir=text(os.fspath(self.config.data_dir)),
            socket=text(os.fspath(self.config.socket)),
            started_at=self.started_at,
            attached_targets=self.registry.attached_targets,
            running_sessions=self.registry.running_sessions,
            stored_profiles=totals.profiles,
            store_bytes=totals.bytes,
            keep_days=self.store.retention.max_age_s / DAY_S,
            keep_bytes=self.store.retention.max_bytes,
        )

    def Shutdown(self, request: pb.ShutdownRequest, context: grpc.ServicerContext) -> pb.ShutdownResponse:
        """End the daemon once this answer is on its way."""
        del request, context
        running = self.registry.running_sessions
        self.shut_down()
        return pb.ShutdownResponse(pid=os.getpid(), stopped_sessions=running)
