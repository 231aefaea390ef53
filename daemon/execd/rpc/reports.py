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
from execd.reports.times import switched_off_told
from execd.rpc import convert
from execd.rpc.chosen import MOST_ADDED, Choice, Chosen
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


class ReportsServicer(reports_pb2_grpc.ReportsServicer):
    """Answers the calls of Reports."""

    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store
        self._choice = Choice(registry, store)

    def Render(self, request: pb.RenderRequest, context: grpc.ServicerContext) -> Iterator[pb.RenderChunk]:
        """Yield a rendering; the first piece says what it is of."""
        del context
        options = convert.report_options(request, self._store.source)
        subjects = _subjects(request)
        if options.settings.keys() & {"last_s", "from_s"}:
            subjects = [self._registry.subjects.of_slices(one) for one in subjects]
        # Loaded before another is taken: a fresh one is a checkpoint, and the next takes its place.
        one = self._choice.of_several(subjects) if request.added else self._choice.of_one(subjects[0], request.process)
        if len(one.stored) > 1 and request.compare and not one.profile.header.tree:
            listed = ", ".join(row.session for row in one.stored)
            raise UsageError(f"a comparison is of one session, or of a tree: here are {listed}", remedy="name one")
        first, *added = one.stored
        notes = _notes(request.format, one.profile)
        head = pb.RenderChunk(profile=first.id, notes=notes, added=[row.id for row in added])
        if request.files:
            yield head
            yield from _files(reports.render_files(one.profile, request.format, options))
            return
        earlier = self._earlier(one, request.compare, request.process) if request.compare else None
        before, parts = (earlier.profile, earlier.parts) if earlier else (None, ())
        rendered = reports.render(one.profile, request.format, options, before, one.parts, parts)
        yield from _pieces(rendered, head)

    def Growth(self, request: pb.GrowthRequest, context: grpc.ServicerContext) -> Iterator[pb.RenderChunk]:
        """Yield the report on what grew."""
        del context
        if not FEWEST <= request.last <= MOST:
            raise UsageError(f"growth is looked for in {FEWEST} to {MOST} snapshots, not in {request.last}")
        asked = pb.RenderRequest(format=request.format, settings_json=request.settings_json, layout=request.layout)
        options = convert.report_options(asked, self._store.source)
        collectors = collectors_of(str(options.settings.get("by", "")))
        rows = archive.series(self._store, request.subject, request.last, collectors)
        loaded = ((row, archive.load(self._store, row)) for row in rows)
        # A row of snapshots of a tree's root is one of the tree.
        profiles = (self._choice.of_stored(found).profile for found in loaded)
        rendered = growth.render(profiles, request.format, options, request.limit)
        short = f"there are {len(rows)} snapshots, and not {request.last}"
        head = pb.RenderChunk(profile=rows[-1].id, notes=[short] if len(rows) < request.last else [])
        yield from _pieces(rendered, head)

    def _earlier(self, later: Chosen, compare: str, process: int) -> Chosen:
        """Return what to compare with, a tree as a whole.

        Args:
            later: what is compared.
            compare: as in the request.
            process: the only one that is asked for, 0 for all.
        """
        first, subjects = later.stored[0], self._registry.subjects
        if later.profile.header.tree:
            known = archive.earlier(self._store, first, compare)
            return self._choice.of_one(known.id if known else compare, 0)
        found = archive.load_found(self._store, lambda: subjects.earlier_profile(first, compare))
        if found[0].session == first.session or compare in ("prev", "first"):
            return Chosen((found[0],), found[1], ())
        if self._choice.is_of_tree(found[0]) and self._are_of_one_group(found[0], first):
            return self._choice.of_stored(found, first.pid)
        return Chosen((found[0],), found[1], ()) if process else self._choice.of_one(compare, 0)

    def _are_of_one_group(self, *stored: StoredProfile) -> bool:
        return len({self._store.session(one.session).group for one in stored}) == 1


def _subjects(request: pb.RenderRequest) -> list[str]:
    """Return what is to be rendered.

    Raises:
        UsageError: it is asked for what does not go together.
    """
    if request.compare and request.files:
        raise UsageError("a comparison is one report", remedy="leave out files, or compare")
    if request.compare and request.added:
        raise UsageError("a comparison is of one profile", remedy="name one subject, or leave out compare")
    if request.files and request.per_process:
        raise UsageError("listings are of one process, or of the sum", remedy="choose one: --process PID")
    if request.added and (request.process or request.per_process):
        raise UsageError("a process is chosen of one tree", remedy="name one subject")
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
    return convert.texts([*profile.header.caveats, *switched_off_told(profile.header), *late[:_LATE_TOLD], *more])
