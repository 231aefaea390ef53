"""Waiting for a file, whatever its number: select.select takes none from 1024 on."""

from __future__ import annotations

import math
import select

# Its end, and what went wrong, are seen by reading it.
_READABLE = select.POLLIN | select.POLLHUP | select.POLLERR
_WRITABLE = select.POLLOUT | select.POLLERR


def is_readable(number: int, seconds: float) -> bool:
    """Tell whether a file can be read, or is at its end, within so many seconds."""
    return wait(number, seconds)[0]


def wait(number: int, seconds: float, *, to_write: bool = False) -> tuple[bool, bool]:
    """Wait until a file can be read, or written to where that is wanted, and tell which.

    Args:
        number: of the file.
        seconds: how long at most.
        to_write: whether being able to write ends the wait, too.
    """
    poller = select.poll()
    poller.register(number, select.POLLIN | select.POLLOUT if to_write else select.POLLIN)
    events = dict(poller.poll(math.ceil(seconds * 1000))).get(number, 0)
    if events & select.POLLNVAL:
        raise ValueError(f"the file {number} is not open")
    return bool(events & _READABLE), to_write and bool(events & _WRITABLE)
