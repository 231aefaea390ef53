"""Ctrl-C beside grpc: held back while grpc's Python code runs, raised while this process waits for an answer.

A KeyboardInterrupt in the midst of grpc's code can leave a lock of a channel taken, or a channel without the
thread that reads it: each later call would wait for ever.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

DRAINED_BYTES = 4096


@contextmanager
def held() -> Iterator[None]:
    """Hold Ctrl-C back, and raise it at the end; another thread gets none, and a process may ignore it.

    Raises:
        KeyboardInterrupt: it came meanwhile.
    """
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler) or not _is_main_thread():
        yield
        return
    noted: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: noted.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if noted:
        raise KeyboardInterrupt


class Bell:
    """What other threads ring and this one waits for; a context manager. Ctrl-C ends the wait at once.

    A thread that sleeps in a lock is not woken by a signal that came just before it fell asleep. So it sleeps on
    a pipe, into which the handler in C writes as well.

    Args:
        between_waits: a signal that comes between two waits ends the second one too. Such bells end in the reverse of
            the order in which they began; others, which streams have, in any.
    """

    def __init__(self, *, between_waits: bool = False) -> None:
        self._between_waits = between_waits
        self._before = -1

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # A late ring must not write into a file that got the number of the closed pipe.
        self._closing = threading.Lock()
        self._closed = False
        if self._between_waits:
            self._hear_signals()
        return self

    def __exit__(self, *_: object) -> None:
        with held(), self._closing:
            self._closed = True
            # Of a wait too that a second Ctrl-C left before it could.
            self._leave_signals()
            os.close(self._reader)
            os.close(self._writer)

    def ring(self, *_: object) -> None:
        """End the wait of now, or the next one; never from a signal handler."""
        # A pipe that is full has rung already.
        with self._closing, suppress(BlockingIOError):
            if not self._closed:
                os.write(self._writer, b"\0")

    def wait(self, timeout_s: float | None = None, also: int | None = None) -> bool:
        """Wait for a ring, and return whether one came in time; a signal counts as one.

        Args:
            timeout_s: how long at most; None for ever.
            also: a descriptor; that there is something to read ends the wait too.

        Raises:
            KeyboardInterrupt: Ctrl-C.
        """
        poller = select.poll()
        poller.register(self._reader, select.POLLIN)
        if also is not None:
            poller.register(also, select.POLLIN)
        if not self._polled(poller, None if timeout_s is None else timeout_s * 1000):
            return False
        with suppress(BlockingIOError):
            os.read(self._reader, DRAINED_BYTES)
        return True

    def _polled(self, poller: select.poll, timeout_ms: float | None) -> bool:
        if self._between_waits:
            return bool(poller.poll(timeout_ms))
        try:
            self._hear_signals()
            return bool(poller.poll(timeout_ms))
        finally:
            self._leave_signals()

    def _hear_signals(self) -> None:
        if _is_main_thread():
            with held():
                self._before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def _leave_signals(self) -> None:
        """Have signals ring what they rang before; nothing where they ring another."""
        if not _is_main_thread():
            return
        with held():
            rung = signal.set_wakeup_fd(-1)
            signal.set_wakeup_fd(self._before if rung == self._writer else rung, warn_on_full_buffer=False)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
