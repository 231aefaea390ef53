"""Memory: questions to a memory session and their answers as messages."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from execd_api.v1 import targets_pb2 as pb

from execd.rpc.convert import text

if TYPE_CHECKING:
    from execd.model.memory.figures import LiveObject, MemoryFigures

# What limit = 0 stands for; the contract names it.
_DEFAULT_LIMIT = 10
_MOST_OBJECTS = 1000

_QUESTIONS = MappingProxyType(
    {
        pb.MEMORY_ACTION_RESET_PEAK: "reset_peak",
        pb.MEMORY_ACTION_CLEAR: "clear",
        pb.MEMORY_ACTION_WHERE: "where",
    }
)


def question(request: pb.MemoryRequest) -> dict[str, object]:
    """Return what to ask the agent."""
    what = _QUESTIONS.get(request.action, "figures")
    if what != "where":
        return {"what": what}
    most = min(request.limit or _DEFAULT_LIMIT, _MOST_OBJECTS)
    return {"what": what, "confirmed": request.confirmed, "name": request.where, "most": most}


def answer(found: MemoryFigures) -> pb.MemoryResponse:
    """Return the message of an answer."""
    return pb.MemoryResponse(
        pid=found.pid,
        session=found.session,
        figures={text(name): value for name, value in found.figures.items()},
        count=found.count,
        size_bytes=found.size,
        objects=map(_live_object, found.objects),
    )


def _live_object(one: LiveObject) -> pb.LiveObject:
    frames = [pb.CodeLine(file=text(file), line=line) for file, line in one.frames]
    return pb.LiveObject(type=text(one.type), size_bytes=one.size, is_traced=one.is_traced, frames=frames)
