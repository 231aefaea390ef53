"""The service Profiles: lists, hands out, deletes and imports what is stored."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from execd_api.v1 import profiles_pb2 as pb
from execd_api.v1 import profiles_pb2_grpc

from execd.errors import UsageError
from execd.imports.allowance import MAX_CPU_S, Allowance, gone
from execd.imports.files import profiles_of
from execd.model.profile import IMPORTED, Header
from execd.rpc import convert
from execd.rpc.chunks import chunks
from execd.rpc.uploads import uploads
from execd.sessions import imported

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

    from execd.model.profile import Profile
    from execd.rpc.uploads import Upload
    from execd.store.store import Store

# What limit = 0 stands for; the contract names it.
DEFAULT_LIMIT = 100
# How often one that waits for its turn looks whether its client still does.
_LOOK_S = 1.0


class ProfilesServicer(profiles_pb2_grpc.ProfilesServicer):
    """Answers the calls of Profiles."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._importing = threading.Lock()

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

    def Import(self, request_iterator: Iterator[pb.ImportChunk], context: grpc.ServicerContext) -> pb.ImportResponse:
        """Store what files hold, of one call after the other: what is read of a file takes far more memory than it."""
        with self._turn(context):
            allowance = Allowance(MAX_CPU_S, lambda: not context.is_active())
            files = uploads(request_iterator, context.cancel)
            profiles = [profile for upload in files for profile in _profiles(upload, time.time(), allowance)]
            if not profiles:
                raise UsageError("there is no file to import")
            if not context.is_active():
                raise gone()
            return pb.ImportResponse(profiles=map(convert.stored_profile, imported.keep(self._store, profiles)))

    @contextmanager
    def _turn(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Wait until no other files are imported, as long as the client does."""
        while not self._importing.acquire(timeout=_LOOK_S):
            if not context.is_active():
                raise gone()
        try:
            yield
        finally:
            self._importing.release()


def _profiles(upload: Upload, at: float, allowance: Allowance) -> list[Profile]:
    header = Header("", IMPORTED, "", 0, (upload.file,), "", at, at)
    try:
        return profiles_of(upload.data, upload.format, header, allowance.spend)
    except UsageError as error:
        raise UsageError(f"{upload.file}: {error.message}", remedy=error.remedy, file=upload.file) from None
