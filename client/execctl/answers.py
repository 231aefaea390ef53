"""Waits for the daemon's answers so that Ctrl-C ends the wait at any instant and leaves the channel usable."""

from __future__ import annotations

from dataclasses import dataclass
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from execctl.interrupts import Bell, held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import grpc

Response = TypeVar("Response")

# Answers of a stream that were read and not taken yet.
_MOST_WAITING = 16


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a stream, and the error that ended it, or None."""

    error: Exception | None


def answer(
    begin: Callable[[], grpc.Future[Response]],
    *,
    patience_s: float | None = None,
    on_wait: Callable[[], object] = lambda: None,
) -> Response:
    """Begin a call and return its answer; a call that is not waited for any more is cancelled.

    Args:
        begin: begins the call.
        patience_s: how often on_wait is called while there is no answer; None for never.
        on_wait: may make calls of its own.

    Raises:
        grpc.RpcError: the call failed.
        KeyboardInterrupt: Ctrl-C.
    """
    call = None
    with Bell() as bell:
        try:
            with held():
                call = begin()
                call.add_done_callback(bell.ring)
            while not call.done():
                if not bell.wait(patience_s):
                    on_wait()
            with held():
                return call.result()
        finally:
            _cancel(call)


def stream(
    begin: Callable[[], Iterator[Response]],
    *,
    patience_s: float | None = None,
    on_wait: Callable[[], object] = lambda: None,
) -> Iterator[Response]:
    """Begin a call and yield each of its answers; to be closed by who does not read to its end.

    Args:
        begin: begins the call; what it returns can be cancelled.
        patience_s: how often on_wait is called while there is no further answer; None for never.
        on_wait: may make calls of its own.

    Raises:
        grpc.RpcError: the call failed.
        KeyboardInterrupt: Ctrl-C.
    """
    told: SimpleQueue[Response | Ended] = SimpleQueue()
    # Who takes them may be slow, or stopped: then the rest stays where it comes from.
    room = Semaphore(_MOST_WAITING)
    call = None
    with Bell() as bell:
        try:
            with held():
                call = begin()
                Thread(target=_read, args=(call, told, bell, room), name="execctl-stream", daemon=True).start()
            while True:
                if not bell.wait(patience_s):
                    on_wait()
                while not told.empty():
                    one = told.get()
                    room.release()
                    if not isinstance(one, Ended):
                        yield one
                    elif one.error is None:
                        return
                    else:
                        raise one.error
        finally:
            _cancel(call)
            room.release(_MOST_WAITING)


def _read(call: Iterator[object], told: SimpleQueue[Any], bell: Bell, room: Semaphore) -> None:
    error = None
    try:
        for one in call:
            room.acquire()
            told.put(one)
            bell.ring()
    except Exception as failure:  # noqa: BLE001 - raised where the stream is waited for
        error = failure
    told.put(Ended(error))
    bell.ring()


def _cancel(call: Any) -> None:
    if call is not None:
        with held():
            call.cancel()
