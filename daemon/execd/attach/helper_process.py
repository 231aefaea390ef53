"""One helper process as the daemon sees it: given an order it answers with facts and descriptors, or is ended.

It may be given the next one while it still tidies up after its answer: the time of that counts from when it is read.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import resource
import select
import socket
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Any

from execd import errors
from execd.errors import AttachTimeout, ExecdError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HELPER_COMMAND = (sys.executable, "-I", "-m", "execd.attach.helper")
_MESSAGE_LIMIT = 1 << 20
_NICENESS = -10
_POLL_S = 0.05
# Beyond its own limit the helper gets this long to take back what it queued; then it is killed, which is safe always.
_GRACE_S = 2.0
_STOP_S = 1.0
# What it may still be at from the order before: the last files of a link, in children that do not stop (children.py).
_TIDYING_S = 10.0


class Unread(AttachTimeout):
    """A helper ended before it had read its order: nothing has been touched, and another one may have it."""


class HelperProcess:
    """A running helper. One order at a time: it has one thread, the one that may make ptrace calls.

    Args:
        command: starts it; it is given its socket as standard input.
        files_limit: how many files it may open; None for as many as this process.
    """

    def __init__(self, command: Sequence[str], files_limit: int | None = None) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(command, stdin=theirs.fileno(), close_fds=True)
        theirs.close()
        # On a busy machine it would be long in coming, and hold up a target that it has stopped.
        with contextlib.suppress(PermissionError, ProcessLookupError):  # root and CAP_SYS_NICE only
            os.setpriority(os.PRIO_PROCESS, self._process.pid, _NICENESS)
        if files_limit is not None:
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE, (files_limit, hard))
        self._control = ours
        # Not select(), which takes no descriptor above 1023: a daemon with as many clients has those.
        self._answers = select.poll()
        self._answers.register(ours, select.POLLIN)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def lives(self) -> bool:
        """Whether it can be given an order."""
        return self._process.poll() is None

    def order(
        self, order: dict[str, object], timeout_s: float, cancelled: Callable[[], bool]
    ) -> tuple[dict[str, Any], list[int]]:
        """Return the answer to an order and the descriptors that came with it.

        Args:
            order: names the process as "pid".
            timeout_s: the limit that the order gives it, from when it has read it.
            cancelled: asked from time to time whether the operator has given up.

        Raises:
            AttachTimeout: it overstayed, or ended; either way it is no more. As Unread: it knew nothing of the order.
            ExecdError: its answer is that error.
        """
        control = self._control
        if not _tell(control, order):
            raise self._ended(order, unread=True)
        told = self._await_answer(order, timeout_s, cancelled)
        data, descriptors, unread = _answer(control)
        if not data:
            # What it has not read may be the cancellation alone.
            raise self._ended(order, unread=unread and not told)
        facts = json.loads(data)
        if "error" in facts:
            raise _error(facts)
        return facts, descriptors

    def _await_answer(self, order: dict[str, object], timeout_s: float, cancelled: Callable[[], bool]) -> bool:
        """Wait until there is something to receive. Returns whether the order was cancelled. Raises AttachTimeout."""
        deadline, latest = math.inf, time.monotonic() + _TIDYING_S
        read = told = False
        while not self._answers.poll(_POLL_S * 1000):
            now = time.monotonic()
            if not read and not _has_unread(self._control):
                read, deadline = True, now + timeout_s + _GRACE_S
            if not told and cancelled():
                if not read:
                    # Told now it would look like a helper that has left its order unread.
                    self.end()
                    message = f"the attach to process {order['pid']} was cancelled before it began"
                    raise AttachTimeout(message, remedy="try again", pid=order["pid"])
                told = True
                _tell(self._control, {"op": "cancel"})
                deadline = min(deadline, now + _GRACE_S)
            if not read and now > latest:
                raise self._ended(order, unread=True)
            if now > deadline:
                self.end()
                raise AttachTimeout(
                    f"the attach to process {order['pid']} did not come to an end; it was cut off",
                    remedy="the process goes on as before; try again",
                    pid=order["pid"],
                )
        return told

    def _ended(self, order: dict[str, object], *, unread: bool) -> AttachTimeout:
        """Bury it, and return the error that says so."""
        self.end()
        return (Unread if unread else AttachTimeout)(
            f"the helper that attached to process {order['pid']} ended",
            remedy="the process goes on as before; try again",
            pid=order["pid"],
        )

    def end(self) -> None:
        """End it; at once where it does not go by itself."""
        self._control.close()
        try:
            self._process.wait(_STOP_S if self.lives else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _tell(control: socket.socket, message: dict[str, object]) -> bool:
    """Send a message to a helper. Returns False where it has ended."""
    try:
        control.send(json.dumps(message).encode())
    except ConnectionError:
        return False
    return True


def _has_unread(control: socket.socket) -> bool:
    """Tell whether a helper has left something unread of what was sent to it (unix(7): SIOCOUTQ, the same number)."""
    return any(fcntl.ioctl(control, termios.TIOCOUTQ, bytes(4)))


def _answer(control: socket.socket) -> tuple[bytes, list[int], bool]:
    """Return the helper's answer and descriptors, nothing where it has ended, and whether it left something unread."""
    try:
        data, descriptors, _, _ = socket.recv_fds(control, _MESSAGE_LIMIT, 2, socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        return b"", [], True
    return data, descriptors, False


def _error(facts: dict[str, Any]) -> ExecdError:
    """Return the error that the helper reported, in its class."""
    classes = {
        kind.kind: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ExecdError)
    }
    return classes.get(str(facts["error"]), ExecdError)(
        str(facts["message"]), remedy=str(facts["remedy"]), **facts["facts"]
    )
