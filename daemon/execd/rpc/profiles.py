"""The service Profiles: lists, hands out and deletes what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd_api.v1 import profiles_pb2 as pb
from execd_api.v1 import profiles_pb2_grpc

from execd.rpc import convert
from execd.rpc.chunks import chunks

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

    from execd.store.store import Store

# What limit = 0 stands for; the contract names it.
DEFAULT_LIMIT = 100


class ProfilesServicer(profiles_pb2_grpc.ProfilesServicer):
    """Answers the calls of Profiles."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def List(self, request: pb.ListProfilesRequest, context: grpc.ServicerContext) -> pb.ListProfilesResponse:
        """Return stored profiles, newest first."""
        del context
        stored = self._store.stored_profiles(session=request.session, limit=request.limit or DEFAULT_LIMIT)
        return pb.ListProfilesResponse(profiles=map(convert.stored_profile, stored))

    def Get(self, request: pb.GetProfileRequest, context: grpc.ServicerContext) -> Iterator[pb.ProfileChunk]:
        """Yield the bytes of a stored profile."""
        del context
        for data in chunks(self._store.read(self._store.stored(request.profile).id)):
            yield pb.ProfileChunk(data=data)

    def Delete(self, request: pb.DeleteProfileRequest, context: grpc.ServicerContext) -> pb.DeleteProfileResponse:
        """Remove a stored profile."""
        del context
        return pb.DeleteProfileResponse(profile=convert.stored_profile(self._store.delete(request.profile)))
