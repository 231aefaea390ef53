"""The service grpc.health.v1.Health: whether this daemon serves.

Our own, because that of grpcio-health-checking sends under a lock that gRPC's only thread takes when a watch ends: one
client that takes no data makes the daemon answer nobody any more (measured with 1.81). Here no lock is held meanwhile.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

# A watch keeps a thread of the server's until its client ends it.
MAX_WATCHES = 4


class HealthServicer:
    """Answers the calls of Health, one status under several names.

    Args:
        names: what clients may ask for; of others the status is SERVICE_UNKNOWN.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._status: int = pb.HealthCheckResponse.NOT_SERVING
        self._changed = threading.Condition()
        self._watches = threading.BoundedSemaphore(MAX_WATCHES)

    def tell(self, *, serving: bool) -> None:
        """Say from now on that the daemon serves or does not, to those who watch too."""
        with self._changed:
            self._status = pb.HealthCheckResponse.SERVING if serving else pb.HealthCheckResponse.NOT_SERVING
            self._changed.notify_all()

    def Check(self, request: pb.HealthCheckRequest, context: grpc.ServicerContext) -> pb.HealthCheckResponse:
        """Return the status."""
        if request.service not in self._names:
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no service of this name")
        return pb.HealthCheckResponse(status=self._status)

    def Watch(self, request: pb.HealthCheckRequest, context: grpc.ServicerContext) -> Iterator[pb.HealthCheckResponse]:
        """Send the status, and each that it changes to."""
        if not self._watches.acquire(blocking=False):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"execd's health is watched {MAX_WATCHES} times already")
        context.add_callback(self._wake)
        told: int | None = None
        try:
            while context.is_active():
                told = self._other(told, request.service, context)
                yield pb.HealthCheckResponse(status=told)
        finally:
            self._watches.release()

    def _other(self, told: int | None, service: str, context: grpc.ServicerContext) -> int:
        """Wait until the status is another one than was told, or the call has ended, and return it."""
        with self._changed:
            self._changed.wait_for(lambda: self._of(service) != told or not context.is_active())
            return self._of(service)

    def _of(self, service: str) -> int:
        return self._status if service in self._names else int(pb.HealthCheckResponse.SERVICE_UNKNOWN)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
