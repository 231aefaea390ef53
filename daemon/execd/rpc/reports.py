"""The service Reports: renders stored profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd_api.v1 import reports_pb2 as pb
from execd_api.v1 import reports_pb2_grpc

from execd import reports
from execd.errors import UsageError
from execd.model.growth import collectors_of
from execd.reports import growth
from execd.reports.escape import visible
from execd.rpc import convert
from execd.rpc.chunks import chunks
from execd.sessions import archive

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

    from execd.model.profile import Profile
    from execd.model.stored import StoredProfile
    from execd.sessions.registry import Registry
    from execd.store.store import Store

# Snapshots in which growth is looked for; the contract names the first.
FEWEST, MOST = 2, 1000
_LATE_TOLD = 5


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
        stored, profile = archive.load_found(self._store, lambda: self._registry.resolve_profile(request.subject))
        notes = _notes(request.format, profile)
        if request.files:
            if request.compare:
                raise UsageError("a comparison is one report", remedy="leave out files, or compare")
            yield pb.RenderChunk(profile=stored.id, notes=notes)
            for name, content in reports.render_files(profile, request.format, options):
                first, *rest = chunks(content)
                yield pb.RenderChunk(data=first, file=convert.text(name))
                yield from (pb.RenderChunk(data=data) for data in rest)
            return
        earlier = self._earlier(stored, request.compare) if request.compare else None
        yield from _pieces(reports.render(profile, request.format, options, earlier=earlier), stored.id, notes)

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
        yield from _pieces(rendered, rows[-1].id, [short] if len(rows) < request.last else [])

    def _earlier(self, later: StoredProfile, compare: str) -> Profile:
        return archive.load_found(self._store, lambda: self._registry.earlier_profile(later, compare))[1]


def _pieces(rendered: bytes, profile: str, notes: list[str]) -> Iterator[pb.RenderChunk]:
    first, *rest = chunks(rendered)
    yield pb.RenderChunk(data=first, profile=profile, notes=notes)
    yield from (pb.RenderChunk(data=data) for data in rest)


def _notes(format_name: str, profile: Profile) -> list[str]:
    """Return what a reader must know and the rendering does not say itself."""
    if format_name in ("text", "json"):
        return []
    late = [f"{visible(file.path)} {file.problem}" for file in profile.files if file.was_late]
    rest = len(late) - _LATE_TOLD
    more = [f"{rest} files more were not there in time; ask again"] if rest > 0 else []
    return convert.texts([*profile.header.caveats, *late[:_LATE_TOLD], *more])
