"""The daemon's side of the attach: keeps the helper process warm, hands it orders, and ends it when it overstays.

One order at a time: a machine has no use for two attaches within the same millisecond, and the helper has one thread.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from execd import errors
from execd.attach.channel import Channel, Hello
from execd.attach.link import marker_name
from execd.errors import AttachTimeout, ExecdError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from execd.model.target import TargetKey

HELPER_COMMAND = (sys.executable, "-I", "-m", "execd.attach.helper")
_MESSAGE_LIMIT = 1 << 20
_POLL_S = 0.05
# Beyond its own limit the helper gets this long to take back what it queued; then it is killed, which is safe always.
_GRACE_S = 2.0
_STOP_S = 1.0


@dataclass(frozen=True, slots=True)
class AgentLink:
    """A living agent: the channel to it, a pidfd of its process, what it said first, and how it came there."""

    channel: Channel
    pidfd: int
    hello: Hello
    method: str
    stopped_us: int

    def close(self) -> None:
        """Let go of it."""
        self.channel.close()
        os.close(self.pidfd)


class Attacher:
    """Attaches to processes through a helper process.

    Args:
        command: starts the helper; it is given its socket as standard input.
        dead_man_s: silence of the daemon after which an agent removes itself, seconds.
    """

    def __init__(self, command: Sequence[str] = HELPER_COMMAND, dead_man_s: int = 30) -> None:
        self._command = tuple(command)
        self._dead_man_s = dead_man_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self.marker = marker_name(os.getuid(), os.getpid())

    def start(self) -> None:
        """Start the helper ahead of its first order."""
        with self._lock:
            self._helper()

    @property
    def helper_pid(self) -> int:
        """The helper's process id, 0 while there is none."""
        return self._process.pid if self._process is not None else 0

    def attach(self, key: TargetKey, timeout_s: float, cancelled: Callable[[], bool]) -> AgentLink:
        """Put the agent into a process and return the link to it.

        Args:
            key: the process.
            timeout_s: how long it may take to reach a safe point.
            cancelled: asked from time to time whether the operator has given up.

        Raises:
            TargetGone, NotPermitted, NotSupported, AttachTimeout, AgentFailed: the target goes on as before.
        """
        order = {
            "op": "attach",
            "pid": key.pid,
            "start_ticks": key.start_ticks,
            "timeout_s": timeout_s,
            "marker": self.marker,
            "dead_man_s": self._dead_man_s,
        }
        with self._lock:
            facts, descriptors = self._order(order, timeout_s, cancelled)
        connection, pidfd = socket.socket(fileno=descriptors[0]), descriptors[1]
        channel = Channel(connection, key.pid)
        try:
            hello = channel.hello(str(facts["nonce"]))
        except BaseException:
            channel.close()
            os.close(pidfd)
            raise
        return AgentLink(channel, pidfd, hello, str(facts["method"]), int(facts["stopped_us"]))

    def close(self) -> None:
        """End the helper."""
        with self._lock:
            self._end_helper()

    def _order(
        self, order: dict[str, object], timeout_s: float, cancelled: Callable[[], bool]
    ) -> tuple[dict[str, Any], list[int]]:
        control = self._helper()
        _tell(control, order)
        deadline = time.monotonic() + timeout_s + _GRACE_S
        told = False
        while not select.select([control], [], [], _POLL_S)[0]:
            if cancelled() and not told:
                told = True
                _tell(control, {"op": "cancel"})
                deadline = min(deadline, time.monotonic() + _GRACE_S)
            if time.monotonic() > deadline:
                self._end_helper()
                raise AttachTimeout(
                    f"the attach to process {order['pid']} did not come to an end; it was cut off",
                    remedy="the process goes on as before; try again",
                    pid=order["pid"],
                )
        data, descriptors = _answer(control)
        if not data:
            self._end_helper()
            raise AttachTimeout(
                f"the helper that attached to process {order['pid']} ended",
                remedy="the process goes on as before; try again",
                pid=order["pid"],
            )
        facts = json.loads(data)
        if "error" in facts:
            raise _error(facts)
        return facts, descriptors

    def _helper(self) -> socket.socket:
        """Return the socket to a living helper."""
        if self._process is not None and self._control is not None and self._process.poll() is None:
            return self._control
        self._end_helper()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(self._command, stdin=theirs.fileno(), close_fds=True)
        theirs.close()
        self._control = ours
        return ours

    def _end_helper(self) -> None:
        process, self._process = self._process, None
        control, self._control = self._control, None
        if control is not None:
            control.close()
        if process is not None:
            try:
                process.wait(_STOP_S if process.poll() is None else 0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _tell(control: socket.socket, message: dict[str, object]) -> None:
    with suppress(ConnectionError):  # a helper that has ended is seen when its answer is waited for
        control.send(json.dumps(message).encode())


def _answer(control: socket.socket) -> tuple[bytes, list[int]]:
    """Return the helper's answer and descriptors, nothing where it has ended: before it read all, that is a reset."""
    try:
        data, descriptors, _, _ = socket.recv_fds(control, _MESSAGE_LIMIT, 2)
    except ConnectionError:
        return b"", []
    return data, descriptors


def _error(facts: dict[str, Any]) -> ExecdError:
    """Return the error that the helper reported, in its class."""
    classes = {
        kind.kind: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ExecdError)
    }
    return classes.get(str(facts["error"]), ExecdError)(
        str(facts["message"]), remedy=str(facts["remedy"]), **facts["facts"]
    )
