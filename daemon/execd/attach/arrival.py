"""An agent that comes by itself: that of a program which was started for it, or of a child of one that has it."""

from __future__ import annotations

import os
import socket

from execd.attach.attacher import AgentLink
from execd.attach.channel import Channel
from execd.attach.readiness import is_readable
from execd.errors import NotPermitted, TargetGone


def linked(connection: socket.socket, who: tuple[int, int], nonce: str, method: str) -> AgentLink:
    """Return the link to an agent.

    Args:
        connection: taken over.
        who: process and user, as the kernel knows them.
        nonce: what its hello must hold.
        method: how it came there.

    Raises:
        AgentFailed: it is none.
        NotPermitted: it is another user's.
        TargetGone: the process has ended.
    """
    pid, uid = who
    channel = Channel(socket.socket(fileno=connection.detach()), pid)
    pidfd = -1
    try:
        pidfd = _pidfd(pid, uid)
        hello = channel.hello(nonce)
        _require_alive(pid, pidfd)
    except BaseException:
        channel.close()
        if pidfd >= 0:
            os.close(pidfd)
        raise
    return AgentLink(channel, pidfd, hello, method, 0)


def _pidfd(pid: int, uid: int) -> int:
    if uid != os.geteuid() != 0:
        raise NotPermitted(f"process {pid} belongs to another user", pid=pid)
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise TargetGone(f"process {pid} has ended", pid=pid) from None


def _require_alive(pid: int, pidfd: int) -> None:
    # Its number could be another's since: that of whoever has ended is not looked at any more.
    if is_readable(pidfd, 0):
        raise TargetGone(f"process {pid} has ended", pid=pid)
