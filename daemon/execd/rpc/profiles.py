"""The service Profiles: lists, hands out, sums up, names, deletes and imports what is stored."""

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
from execd.model.merge import merge
from execd.model.profile import IMPORTED, Header
from execd.rpc import convert
from execd.rpc.chosen import Choice
from execd.rpc.chunks import chunks
from execd.rpc.uploads import uploads
from execd.sessions import imported, sums
from execd.sessions.housekeeping import tidy
from execd.store.identifiers import check_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

    from execd.model.profile import Profile
    from execd.rpc.uploads import Upload
    from execd.sessions.registry import Registry
    from execd.store.store import Store

# What limit = 0 stands for; the contract names it.
DEFAULT_LIMIT = 100
# What a sum may be of; all are held in memory at once.
FEWEST_PARTS, MOST_PARTS = 2, 1000
# How often one that waits for its turn looks whether its client still does.
_LOOK_S = 1.0


class ProfilesServicer(profiles_pb2_grpc.ProfilesServicer):
    """Answers the calls of Profiles."""

    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store
        self._importing = threading.Lock()

    def List(self, request: pb.ListProfilesRequest, context: grpc.ServicerContext) -> pb.ListProfilesResponse:
        """Return stored profiles, newest first."""
        del context
        stored = self._store.stored_profiles(
            session=request.session, limit=request.limit or DEFAULT_LIMIT, wanted=convert.wanted(request)
        )
        return pb.ListProfilesResponse(profiles=map(convert.stored_profile, stored))

    def Get(self, request: pb.GetProfileRequest, context: grpc.ServicerContext) -> Iterator[pb.ProfileChunk]:
        """Yield the bytes of a stored profile."""
        del context
        for data in chunks(self._store.read(self._store.stored(request.profile).id)):
            yield pb.ProfileChunk(data=data)

    def Delete(self, request: pb.DeleteProfileRequest, context: grpc.ServicerContext) -> pb.DeleteProfileResponse:
        """Remove a stored profile."""
        del context
        removed = self._store.delete(request.profile, also_running=request.also_running)
        return pb.DeleteProfileResponse(profile=convert.stored_profile(removed))

    def Merge(self, request: pb.MergeRequest, context: grpc.ServicerContext) -> pb.MergeResponse:
        """Store the sum of profiles."""
        del context
        check_name(request.name)
        if not FEWEST_PARTS <= len(request.subjects) <= MOST_PARTS:
            raise UsageError(f"a sum is of {FEWEST_PARTS} to {MOST_PARTS} profiles, not of {len(request.subjects)}")
        choice = Choice(self._registry, self._store)
        found = [choice.of_one(subject, 0) for subject in request.subjects]
        _refuse_twice([(subject, one.stored[0].id) for subject, one in zip(request.subjects, found, strict=True)])
        stored = sums.keep(self._store, merge([one.profile for one in found]), request.name)
        tidy(self._store)
        parts = [convert.stored_profile(part) for one in found for part in one.stored]
        return pb.MergeResponse(profile=convert.stored_profile(stored), parts=parts)

    def Rename(self, request: pb.RenameRequest, context: grpc.ServicerContext) -> pb.RenameResponse:
        """Give a profile, or a session that has ended, another name."""
        del context
        return pb.RenameResponse(id=self._store.rename(request.subject, request.name), name=request.name)

    def Label(self, request: pb.LabelRequest, context: grpc.ServicerContext) -> pb.LabelResponse:
        """Change the labels of a session or profile."""
        del context
        found, labels = self._store.label(request.subject, request.labels, request.remove)
        return pb.LabelResponse(id=found, labels=labels)

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


def _refuse_twice(found: list[tuple[str, str]]) -> None:
    """Refuse a profile that several words mean: it would count twice."""
    words: dict[str, str] = {}
    for word, profile in found:
        if profile in words:
            raise UsageError(
                f"{words[profile]} and {word} are both {profile}: it would count twice",
                remedy="name each profile once",
                profile=profile,
            )
        words[profile] = word


def _profiles(upload: Upload, at: float, allowance: Allowance) -> list[Profile]:
    options = {"unit": upload.unit} if upload.unit else {}
    header = Header("", IMPORTED, "", 0, (upload.file,), "", at, at, options=options)
    try:
        return profiles_of(upload.data, upload.format, header, allowance.spend)
    except UsageError as error:
        raise UsageError(f"{upload.file}: {error.message}", remedy=error.remedy, file=upload.file) from None
