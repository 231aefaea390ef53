"""The agent's modules on their way over the link, and the agent's first word."""

from __future__ import annotations

import contextlib
import socket
import time

from execd.attach.readiness import wait
from execd.errors import AgentFailed

# What an agent sends before its hello that cannot run the bytecode: bootstrap.py has the same bytes.
WANTS_SOURCES = b"\0\0\0\0\7\0\0\0"


class Delivery:
    """One delivery. What the socket takes at once, 200 KiB by the usual limits, is there from the start.

    Args:
        channel: the daemon's end of the link. It is made non-blocking.
        bundle: what the agent reads in any case.
        sources: what it gets where it asks for it.
    """

    def __init__(self, channel: socket.socket, bundle: bytes, sources: bytes) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._sources = sources
        self._rest = memoryview(bundle)
        self._send()

    def arrived(self, seconds: float) -> bool:
        """Send what is left, and tell whether the agent has said hello within so many seconds. Raises AgentFailed."""
        end = time.monotonic() + seconds
        while True:
            left = max(end - time.monotonic(), 0)
            readable, writable = wait(self._channel.fileno(), left, to_write=bool(self._rest))
            if readable and not self._is_request():
                return True
            if writable:
                self._send()
            if not readable and not writable:
                return False

    def _send(self) -> None:
        try:
            self._rest = self._rest[self._channel.send(self._rest) :]
        except ConnectionError:
            raise _closed() from None

    def _is_request(self) -> bool:
        """Tell a request for the sources, and take it, from a hello. The end of the channel is no agent's answer."""
        head = b""
        with contextlib.suppress(ConnectionError):
            head = self._channel.recv(len(WANTS_SOURCES), socket.MSG_PEEK)
        if not head:
            raise _closed()
        if head != WANTS_SOURCES or not self._sources:
            return False
        self._channel.recv(len(WANTS_SOURCES))
        self._rest, self._sources = memoryview(self._sources), b""
        return True


def _closed() -> AgentFailed:
    return AgentFailed("the target closed the link before the agent had answered", remedy="try again")
