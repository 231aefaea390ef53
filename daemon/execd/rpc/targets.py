"""The service Targets: which processes there are, attach and detach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd_api.v1 import targets_pb2 as pb
from execd_api.v1 import targets_pb2_grpc

from execd.rpc import convert, dump, memory
from execd.sessions.memory import ask_memory

if TYPE_CHECKING:
    import grpc

    from execd.sessions.registry import Registry

# What timeout_ms = 0 stands for; the contract names it.
DEFAULT_TIMEOUT_MS = 10_000


class TargetsServicer(targets_pb2_grpc.TargetsServicer):
    """Answers the calls of Targets."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def List(self, request: pb.ListTargetsRequest, context: grpc.ServicerContext) -> pb.ListTargetsResponse:
        """Return the candidates."""
        del request, context
        return pb.ListTargetsResponse(candidates=map(convert.candidate, self._registry.candidates()))

    def Inspect(self, request: pb.InspectRequest, context: grpc.ServicerContext) -> pb.Candidate:
        """Return one process, and what forbids an attach."""
        del context
        found = self._registry.inspect(
            request.target, every_check=request.every_check, allow_seccomp=request.allow_seccomp
        )
        return convert.candidate(found)

    def Attach(self, request: pb.AttachRequest, context: grpc.ServicerContext) -> pb.AttachResponse:
        """Attach and start sessions; given up when the client goes away."""
        attachment = self._registry.attach(
            request.target,
            convert.specs_from(request.sessions),
            timeout_s=(request.timeout_ms or DEFAULT_TIMEOUT_MS) / 1000,
            cancelled=lambda: not context.is_active(),
            name=request.name,
            allow_seccomp=request.allow_seccomp,
            duration_s=request.duration_ms / 1000,
        )
        return convert.attachment(attachment)

    def Detach(self, request: pb.DetachRequest, context: grpc.ServicerContext) -> pb.DetachResponse:
        """Stop a target's sessions and take the agent out."""
        del context
        return convert.detachment(self._registry.detach(request.target, unless_used=request.unless_used))

    def Memory(self, request: pb.MemoryRequest, context: grpc.ServicerContext) -> pb.MemoryResponse:
        """Ask a memory session."""
        del context
        return memory.answer(ask_memory(self._registry, request.target, memory.question(request)))

    def Dump(self, request: pb.DumpRequest, context: grpc.ServicerContext) -> pb.DumpResponse:
        """Return where the threads of a process are."""
        del context
        return dump.answer(self._registry.dump(request.target, never_stop=request.never_stop, with_tasks=request.tasks))
