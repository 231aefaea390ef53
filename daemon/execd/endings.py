"""What ends the daemon: a signal, or the call Shutdown."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHUTDOWN = 0


class Endings:
    """Waits for the first of them, in the main thread.

    Through a pipe, into which the C part of a signal handler writes: a main thread that waits for a lock would sleep on
    where the signal came just before it went to sleep, or came to another thread.

    Args:
        signals: their numbers.
    """

    def __init__(self, signals: Iterable[int]) -> None:
        self._signals = frozenset(signals)
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in self._signals:
            signal.signal(number, _do_nothing_more)

    def shut_down(self) -> None:
        """End the wait, from any thread."""
        # What is full has enough in it to end the wait.
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, bytes([_SHUTDOWN]))

    def wait(self) -> str:
        """Return the cause: the name of a signal, or "Shutdown"."""
        while True:
            select.select([self._reader], [], [])
            (cause,) = os.read(self._reader, 1)
            if cause == _SHUTDOWN:
                return "Shutdown"
            if cause in self._signals:
                return signal.Signals(cause).name

    def close(self) -> None:
        """Give the pipe back; signals are ignored from here on."""
        signal.set_wakeup_fd(-1)
        os.close(self._reader)
        os.close(self._writer)


def _do_nothing_more(_number: int, _frame: object) -> None:
    """A signal without a handler in Python would not come to the pipe."""
