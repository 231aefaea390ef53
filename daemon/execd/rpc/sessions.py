"""The service Sessions: start, look at, snapshot and end sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd_api.v1 import sessions_pb2 as pb
from execd_api.v1 import sessions_pb2_grpc

from execd.rpc import convert
from execd.rpc.follow import follow
from execd.rpc.windows import windows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

    from execd.model.session import Session
    from execd.sessions.registry import Registry
    from execd.store.store import Store

# What limit = 0 stands for; the contract names it.
DEFAULT_LIMIT = 100


class SessionsServicer(sessions_pb2_grpc.SessionsServicer):
    """Answers the calls of Sessions."""

    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store

    def Start(self, request: pb.StartRequest, context: grpc.ServicerContext) -> pb.StartResponse:
        """Start sessions on an attached target."""
        del context
        started = self._registry.start(request.target, convert.specs_from(request.sessions))
        return pb.StartResponse(sessions=map(convert.session, started))

    def RecordAll(self, request: pb.RecordAllRequest, context: grpc.ServicerContext) -> pb.RecordAllResponse:
        """Sample every process."""
        del context
        spec = convert.specs_from([request.session])[0]
        group, sessions, notes = self._registry.record_all(spec, request.name)
        return pb.RecordAllResponse(
            group=group, sessions=map(convert.session, sessions), notes=map(convert.text, notes)
        )

    def Stop(self, request: pb.StopRequest, context: grpc.ServicerContext) -> pb.StopResponse:
        """End sessions and store their last profile."""
        del context
        return pb.StopResponse(sessions=map(convert.session, self._registry.stop(request.session)))

    def Get(self, request: pb.GetSessionRequest, context: grpc.ServicerContext) -> pb.Session:
        """Return one session."""
        del context
        return self._shown(self._registry.session(request.session))

    def Overhead(self, request: pb.OverheadRequest, context: grpc.ServicerContext) -> pb.OverheadResponse:
        """Return what a session costs its process."""
        del context
        found = self._registry.overhead(request.session)
        return pb.OverheadResponse(overhead=None if found is None else convert.overhead(found))

    def List(self, request: pb.ListSessionsRequest, context: grpc.ServicerContext) -> pb.ListSessionsResponse:
        """Return sessions, newest first."""
        del context
        sessions = self._registry.sessions(
            running_only=request.running_only, limit=request.limit or DEFAULT_LIMIT, wanted=request.labels
        )
        costs = self._registry.costs(sessions)
        return pb.ListSessionsResponse(
            sessions=[convert.session(one, costs.get(one.id)) for one in sessions],
            open_groups=map(convert.open_group, self._registry.open_groups(dict(request.labels))),
        )

    def Snapshot(self, request: pb.SnapshotRequest, context: grpc.ServicerContext) -> pb.SnapshotResponse:
        """Store a profile of sessions that go on."""
        del context
        stored = self._registry.snapshot(request.session, request.name, confirmed=request.confirmed)
        return pb.SnapshotResponse(profiles=map(convert.stored_profile, stored))

    def Watch(self, request: pb.WatchRequest, context: grpc.ServicerContext) -> Iterator[pb.Session]:
        """Yield a session each time it changes, until it ends or the client goes away."""
        changes = self._registry.watch(request.session, lambda: not context.is_active())
        yield from map(self._shown, changes)

    def Follow(self, request: pb.FollowRequest, context: grpc.ServicerContext) -> Iterator[pb.FollowChunk]:
        """Yield what a trace records as text, until its session ends or the client goes away."""
        yield from follow(self._registry, self._store, request, lambda: not context.is_active())

    def Samples(self, request: pb.SamplesRequest, context: grpc.ServicerContext) -> Iterator[pb.SampleWindow]:
        """Yield what a session of samples meets, window by window, until it ends or the client goes away."""
        yield from windows(self._registry, request, lambda: not context.is_active())

    def _shown(self, session: Session) -> pb.Session:
        return convert.session(session, self._registry.cost(session))
