"""Interceptor: what every call of execd's own services goes through, unseen by the servicers."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from execd.errors import ExecdError, TooManyStreams
from execd.rpc.status import DETAIL_KEY, code_of, detail_of, summary_of

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator

Request = TypeVar("Request")
Response = TypeVar("Response")

# The health service, which bounds its watches itself, has no errors of execd's.
OWN_SERVICES = "/execd.v1."


class ErrorTranslator(grpc.ServerInterceptor):
    """Turns errors into a status with an ErrorDetail, and bounds the streams that run at once."""

    def __init__(self, log: logging.Logger, *, max_streams: int) -> None:
        """Make an interceptor.

        Args:
            log: gets a line for each failed call, with a traceback where the error is a bug.
            max_streams: a further stream is refused. A stream keeps its thread until it ends.
        """
        self._log = log
        self._max_streams = max_streams
        self._streams = threading.BoundedSemaphore(max_streams)

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Request, Response] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Request, Response] | None:
        """Return the handler of a call, wrapped where it is one of ours."""
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(OWN_SERVICES):
            return handler
        serializers = (handler.request_deserializer, handler.response_serializer)
        if handler.unary_stream is not None:
            stream = self._stream(method, handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(stream, *serializers)
        if handler.stream_unary is not None:
            upload = self._upload(method, handler.stream_unary)
            return grpc.stream_unary_rpc_method_handler(upload, *serializers)
        if handler.unary_unary is not None:
            unary = self._unary(method, handler.unary_unary)
            return grpc.unary_unary_rpc_method_handler(unary, *serializers)
        return handler

    def _unary(self, method: str, behavior: Callable[..., Any]) -> Callable[..., Any]:
        def call(request: object, context: grpc.ServicerContext) -> object:
            with self._translated(method, context):
                return behavior(request, context)

        return call

    def _stream(self, method: str, behavior: Callable[..., Any]) -> Callable[..., Any]:
        def call(request: object, context: grpc.ServicerContext) -> Iterator[object]:
            with self._translated(method, context), self._stream_slot():
                yield from behavior(request, context)

        return call

    def _upload(self, method: str, behavior: Callable[..., Any]) -> Callable[..., Any]:
        def call(requests: Iterator[object], context: grpc.ServicerContext) -> object:
            with self._translated(method, context), self._stream_slot():
                return behavior(requests, context)

        return call

    @contextmanager
    def _stream_slot(self) -> Iterator[None]:
        if not self._streams.acquire(blocking=False):
            raise TooManyStreams(
                f"execd answers {self._max_streams} streams already",
                remedy="end one of the commands that follow a session",
                streams=self._max_streams,
            )
        try:
            yield
        finally:
            self._streams.release()

    @contextmanager
    def _translated(self, method: str, context: grpc.ServicerContext) -> Iterator[None]:
        try:
            yield
        except ExecdError as error:
            facts = {"method": method, "kind": error.kind, **error.facts}
            self._log.info("call failed: %s", error.message, extra={"facts": facts})
            _abort(context, error)
        except Exception:  # noqa: BLE001 - the edge: whatever it is, the client gets an answer
            # The traceback stays here: it may tell what the caller should not see, and tells him nothing.
            self._log.exception("call failed by a defect of execd", extra={"facts": {"method": method}})
            name = method.removeprefix(OWN_SERVICES).replace("/", ".")
            _abort(context, ExecdError(f"execd failed in {name}", remedy="its log tells where: `execd status`"))


def _abort(context: grpc.ServicerContext, error: ExecdError) -> None:
    context.set_trailing_metadata(((DETAIL_KEY, detail_of(error).SerializeToString()),))
    context.abort(code_of(error), summary_of(error))
