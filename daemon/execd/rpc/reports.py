"""The service Reports: renders stored profiles."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from execd_api.v1 import reports_pb2 as pb
from execd_api.v1 import reports_pb2_grpc

from execd import reports
from execd.errors import UsageError
from execd.model.growth import collectors_of
from execd.model.merge import merge
from execd.reports import growth
from execd.reports.escape import visible
from execd.rpc import convert
from execd.rpc.chunks import chunks
from execd.sessions import archive

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import grpc

    from execd.model.profile import Profile
    from execd.model.stored import StoredProfile
    from execd.sessions.registry import Registry
    from execd.store.store import Store

# Snapshots in which growth is looked for; the contract names the first.
FEWEST, MOST = 2, 1000
_LATE_TOLD = 5
# What is rendered is held in memory, whole.
MOST_ADDED = 1000


class ReportsServicer(reports_pb2_grpc.ReportsServicer):
    """Answers the calls of Reports."""

    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store

    def Render(self, request: pb.RenderRequest, context: grpc.ServicerContext) -> Iterator[pb.RenderChunk]:
        """Yield a rendering; the first piece says what it is of."""
        del context
        options = convert.report_options(request, self._store.source)
        # Loaded before another is taken: a fresh one is a checkpoint, and the next takes its place.
        found = [
            archive.load_found(self._store, partial(self._registry.resolve_profile, subject))
            for subject in _subjects(request)
        ]
        stored, profile = found[0]
        parts = [part for _, part in found] if request.added else []
        if parts:
            profile = merge(parts)
        head = pb.RenderChunk(
            profile=stored.id, notes=_notes(request.format, profile), added=[row.id for row, _ in found[1:]]
        )
        if request.files:
            yield head
            yield from _files(reports.render_files(profile, request.format, options))
            return
        earlier = self._earlier(stored, request.compare) if request.compare else None
        yield from _pieces(reports.render(profile, request.format, options, earlier, parts), head)

    def Growth(self, request: pb.GrowthRequest, context: grpc.ServicerContext) -> Iterator[pb.RenderChunk]:
        """Yield the report on what grew."""
        del context
        if not FEWEST <= request.last <= MOST:
            raise UsageError(f"growth is looked for in {FEWEST} to {MOST} snapshots, not in {request.last}")
        asked = pb.RenderRequest(format=request.format, settings_json=request.settings_json)
        options = convert.report_options(asked, self._store.source)
        collectors = collectors_of(str(options.settings.get("by", "")))
        rows = archive.series(self._store, request.subject, request.last, collectors)
        profiles = (archive.load(self._store, row) for row in rows)
        rendered = growth.render(profiles, request.format, options, request.limit)
        short = f"there are {len(rows)} snapshots, and not {request.last}"
        head = pb.RenderChunk(profile=rows[-1].id, notes=[short] if len(rows) < request.last else [])
        yield from _pieces(rendered, head)

    def _earlier(self, later: StoredProfile, compare: str) -> Profile:
        return archive.load_found(self._store, lambda: self._registry.earlier_profile(later, compare))[1]


def _subjects(request: pb.RenderRequest) -> list[str]:
    """Return what is to be rendered.

    Raises:
        UsageError: it is asked for what does not go together.
    """
    if request.compare and request.files:
        raise UsageError("a comparison is one report", remedy="leave out files, or compare")
    if request.compare and request.added:
        raise UsageError("a comparison is of one profile", remedy="name one subject, or leave out compare")
    if len(request.added) >= MOST_ADDED:
        raise UsageError(f"{len(request.added) + 1} profiles are over the limit of {MOST_ADDED}")
    return [request.subject, *request.added]


def _pieces(rendered: bytes, head: pb.RenderChunk) -> Iterator[pb.RenderChunk]:
    head.data, *rest = chunks(rendered)
    yield head
    yield from (pb.RenderChunk(data=data) for data in rest)


def _files(files: Iterable[tuple[str, bytes]]) -> Iterator[pb.RenderChunk]:
    for name, content in files:
        first, *rest = chunks(content)
        yield pb.RenderChunk(data=first, file=convert.text(name))
        yield from (pb.RenderChunk(data=data) for data in rest)


def _notes(format_name: str, profile: Profile) -> list[str]:
    """Return what a reader must know and the rendering does not say itself."""
    if format_name in ("text", "json"):
        return []
    late = [f"{visible(file.path)} {file.problem}" for file in profile.files if file.was_late]
    rest = len(late) - _LATE_TOLD
    more = [f"{rest} files more were not there in time; ask again"] if rest > 0 else []
    return convert.texts([*profile.header.caveats, *late[:_LATE_TOLD], *more])
