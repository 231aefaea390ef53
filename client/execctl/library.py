"""The stored profiles of a daemon: listed, added up, named, labelled, removed, and taken out of files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from execd_api.v1 import profiles_pb2 as pb

from execctl.timeouts import CALL_TIMEOUT_S, IMPORT_TIMEOUT_S, LOOK_TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from execd_api.v1.profiles_pb2_grpc import ProfilesStub

    from execctl.query import Wanted

# A piece of a file on its way to the daemon.
PIECE_BYTES = 256 * 1024


class Library:
    """What a daemon has stored. Every method raises ClientError.

    Args:
        stub: of the service.
        ask: makes a call, of a method with a request and a time limit in seconds, and returns its answer.
    """

    def __init__(self, stub: ProfilesStub, ask: Callable[[Any, Any, float], Any]) -> None:
        self._stub = stub
        self._ask = ask

    def profiles(self, wanted: Wanted, limit: int) -> Sequence[pb.Profile]:
        """Return at most `limit` stored profiles, newest first."""
        request = pb.ListProfilesRequest(
            session=wanted.session,
            limit=limit,
            collector=wanted.collector,
            labels=wanted.labels,
            max_age_s=wanted.max_age_s,
            min_age_s=wanted.min_age_s,
        )
        answer: pb.ListProfilesResponse = self._ask(self._stub.List, request, LOOK_TIMEOUT_S)
        return answer.profiles

    def merge(self, subjects: Sequence[str], name: str) -> pb.MergeResponse:
        """Store the sum of several profiles, and return it and what it is of."""
        request = pb.MergeRequest(subjects=subjects, name=name)
        answer: pb.MergeResponse = self._ask(self._stub.Merge, request, CALL_TIMEOUT_S)
        return answer

    def rename(self, subject: str, name: str) -> str:
        """Give a profile, or a session that has ended, another name, "" for none; return its id."""
        answer: pb.RenameResponse = self._ask(
            self._stub.Rename, pb.RenameRequest(subject=subject, name=name), CALL_TIMEOUT_S
        )
        return answer.id

    def label(self, subject: str, labels: Mapping[str, str], remove: Sequence[str]) -> pb.LabelResponse:
        """Change the labels of a session or profile; return its id and its own labels."""
        request = pb.LabelRequest(subject=subject, labels=labels, remove=remove)
        answer: pb.LabelResponse = self._ask(self._stub.Label, request, CALL_TIMEOUT_S)
        return answer

    def remove(self, profile: str, *, also_running: bool) -> None:
        """Remove a profile; with `also_running` also where its session goes on."""
        request = pb.DeleteProfileRequest(profile=profile, also_running=also_running)
        self._ask(self._stub.Delete, request, CALL_TIMEOUT_S)

    def import_files(self, files: Sequence[tuple[str, bytes]], form: str, unit: str = "") -> Sequence[pb.Profile]:
        """Store what files hold, all or none, and return these profiles.

        Args:
            files: name and content of each.
            form: the format of all of them, "" where their content tells.
            unit: what collapsed stacks count, "" for samples.
        """
        pieces = _import_pieces(files, form, unit)
        answer: pb.ImportResponse = self._ask(self._stub.Import, pieces, IMPORT_TIMEOUT_S)
        return answer.profiles


def _import_pieces(files: Sequence[tuple[str, bytes]], form: str, unit: str) -> Iterator[pb.ImportChunk]:
    for name, content in files:
        yield pb.ImportChunk(file=name, size=len(content), format=form, unit=unit, data=content[:PIECE_BYTES])
        for start in range(PIECE_BYTES, len(content), PIECE_BYTES):
            yield pb.ImportChunk(data=content[start : start + PIECE_BYTES])
