"""The service Reports: renders stored profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd_api.v1 import reports_pb2 as pb
from execd_api.v1 import reports_pb2_grpc

from execd import reports
from execd.rpc import convert
from execd.rpc.chunks import chunks
from execd.sessions import archive

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

    from execd.model.profile import Header
    from execd.sessions.registry import Registry
    from execd.store.store import Store


class ReportsServicer(reports_pb2_grpc.ReportsServicer):
    """Answers the calls of Reports."""

    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store

    def Render(self, request: pb.RenderRequest, context: grpc.ServicerContext) -> Iterator[pb.RenderChunk]:
        """Yield a rendering; the first piece says what it is of."""
        del context
        options = convert.report_options(request, self._store.source)
        stored = self._registry.resolve_profile(request.subject)
        earlier = self._registry.earlier_profile(stored, request.compare) if request.compare else None
        profile = archive.load(self._store, stored)
        notes = _notes(request.format, profile.header)
        if request.files:
            yield pb.RenderChunk(profile=stored.id, notes=notes)
            for name, content in reports.render_files(profile, request.format, options):
                first, *rest = chunks(content)
                yield pb.RenderChunk(data=first, file=convert.text(name))
                yield from (pb.RenderChunk(data=data) for data in rest)
            return
        rendered = reports.render(
            profile, request.format, options, earlier=archive.load(self._store, earlier) if earlier else None
        )
        first, *rest = chunks(rendered)
        yield pb.RenderChunk(data=first, profile=stored.id, notes=notes)
        yield from (pb.RenderChunk(data=data) for data in rest)


def _notes(format_name: str, header: Header) -> list[str]:
    """Return what a reader must know and the rendering does not say itself."""
    return [] if format_name in ("text", "json") else convert.texts(header.caveats)
