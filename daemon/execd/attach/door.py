"""A door: our end of a pair of sockets of which a target's forked children inherit the other, see offspring.py.

Each child sends one end of a channel of its own through it. What comes is a stranger's, but for who sent it.
"""

from __future__ import annotations

import os
import select
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.attach import ancillary
from execd.errors import AgentFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

_MESSAGE_BYTES = 64
# One that sends for ever must not keep the others waiting.
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Arrival:
    """A child that is there: its process id, its user, and the connection to the agent that it is about to start."""

    pid: int
    uid: int
    connection: socket.socket


class Door:
    """One target's door.

    Args:
        descriptor: what its agent has sent, taken over.

    Raises:
        AgentFailed: it is no door.
    """

    def __init__(self, descriptor: int) -> None:
        try:
            self._socket = socket.socket(fileno=descriptor)
        except OSError:
            os.close(descriptor)
            raise AgentFailed("the agent sent something else than a door for its children") from None
        if (self._socket.family, self._socket.type) != (socket.AF_UNIX, socket.SOCK_SEQPACKET):
            self._socket.close()
            raise AgentFailed("the agent sent something else than a door for its children")
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

    def fileno(self) -> int:
        """Return the descriptor, for polling."""
        return self._socket.fileno()

    def arrivals(self) -> list[Arrival]:
        """Return who is there, without waiting.

        Raises:
            EOFError: nobody will come any more: every process that has the other end has closed it, or ended.
        """
        found: list[Arrival] = []
        while len(found) < _AT_ONCE:
            try:
                data, told, _, _ = self._socket.recvmsg(_MESSAGE_BYTES, ancillary.SPACE, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return found
            except OSError:
                data, told = b"", []
            if not data and not told:
                if found:
                    return found
                raise EOFError
            found += _arrival(told)
        return found

    def close(self) -> None:
        """Let nobody in any more: children go on unrecorded."""
        self._socket.close()


def _arrival(told: list[tuple[int, int, bytes]]) -> list[Arrival]:
    """Return who has come with a connection; anything else is let go of."""
    descriptors, who = ancillary.files(told), ancillary.sender(told)
    if len(descriptors) != 1 or who is None or who[0] <= 0:
        ancillary.drop(descriptors)
        return []
    try:
        connection = socket.socket(fileno=descriptors[0])
    except OSError:
        ancillary.drop(descriptors)
        return []
    if (connection.family, connection.type) != (socket.AF_UNIX, socket.SOCK_STREAM):
        connection.close()
        return []
    return [Arrival(*who, connection)]


def wait_at(doors: Sequence[Door], wake: int, timeout_s: float) -> tuple[list[Arrival], list[Door]]:
    """Wait until somebody comes; return who is there, and the doors at which nobody will come any more.

    Args:
        doors: where.
        wake: an eventfd that ends the wait.
        timeout_s: for how long at most.
    """
    by_number = {door.fileno(): door for door in doors}
    poll = select.poll()
    for number in (wake, *by_number):
        poll.register(number, select.POLLIN)
    found: list[Arrival] = []
    over: list[Door] = []
    for number, _ in poll.poll(timeout_s * 1000):
        if number == wake:
            os.eventfd_read(wake)
            continue
        try:
            found += by_number[number].arrivals()
        except EOFError:
            over.append(by_number[number])
    return found, over
