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
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
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
    """

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # A late ring must not write into a file that got the number of the closed pipe.
        self._closing = threading.Lock()
        self._closed = False
        self._in_main = threading.current_thread() is threading.main_thread()
        if self._in_main:
            self._before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self._in_main:
            signal.set_wakeup_fd(self._before)
        with held(), self._closing:
            self._closed = True
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
        if not poller.poll(None if timeout_s is None else timeout_s * 1000):
            return False
        with suppress(BlockingIOError):
            os.read(self._reader, DRAINED_BYTES)
        return True
