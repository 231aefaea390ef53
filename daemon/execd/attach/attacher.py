"""The daemon's side of the attach: hands orders to helper processes, of which it keeps one warm."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from execd.attach.channel import Channel, Hello
from execd.attach.helper_process import HELPER_COMMAND, HelperProcess, Unread
from execd.attach.link import marker_name
from execd.attach.seccomp import UNREAD
from execd.model.target import Check, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from execd.model.target import TargetKey

# An attach that waits for a target in long C code must not hold up the others; most are over before a helper starts.
_HELPERS_LIMIT = 8
_PATIENCE_S = 0.05
# The checks of one process: reading a process of 20,000 threads takes the longest.
_EXAMINE_S = 5.0


@dataclass(frozen=True, slots=True)
class AgentLink:
    """A living agent: the channel to it, a pidfd of its process, what it said first, and how it came there.

    `core_hindrance` is why the native core may not follow where the process has seccomp filters, "" where it may.
    """

    channel: Channel
    pidfd: int
    hello: Hello
    method: str
    stopped_us: int
    core_hindrance: str = UNREAD

    def close(self) -> None:
        """Let go of it."""
        self.channel.close()
        os.close(self.pidfd)


class Attacher:
    """Attaches to processes through helper processes.

    Args:
        command: starts a helper; it is given its socket as standard input.
        dead_man_s: silence of the daemon after which an agent removes itself, seconds.
        files_limit: how many files a helper may open; None for as many as this process.
    """

    def __init__(
        self, command: Sequence[str] = HELPER_COMMAND, dead_man_s: int = 30, files_limit: int | None = None
    ) -> None:
        self._command = tuple(command)
        self.dead_man_s = dead_man_s
        self._files_limit = files_limit
        # Guards the two lists, and tells of a helper that has come free.
        self._changed = threading.Condition()
        self._idle: list[HelperProcess] = []
        self._working: list[HelperProcess] = []
        self.marker = marker_name(os.getuid(), os.getpid())

    def start(self) -> None:
        """Start a helper ahead of the first order."""
        with self._helper():
            pass

    @property
    def helper_pids(self) -> tuple[int, ...]:
        """The helpers' process ids, the idle one first."""
        with self._changed:
            return tuple(helper.pid for helper in self._idle + self._working)

    def attach(
        self, key: TargetKey, timeout_s: float, cancelled: Callable[[], bool], *, allow_seccomp: bool = False
    ) -> AgentLink:
        """Put the agent into a process and return the link to it.

        Args:
            key: the process.
            timeout_s: how long it may take to reach a safe point.
            cancelled: asked from time to time whether the operator has given up.
            allow_seccomp: attach under filters that cannot be read too.

        Raises:
            TargetGone, NotPermitted, NotSupported, AttachTimeout, AgentFailed: the target goes on as before.
        """
        order = self._order("attach", key, timeout_s, allow_seccomp=allow_seccomp)
        facts, descriptors = self._carry_out(order, timeout_s, cancelled)
        connection, pidfd = socket.socket(fileno=descriptors[0]), descriptors[1]
        channel = Channel(connection, key.pid)
        try:
            hello = channel.hello(str(facts["nonce"]))
        except BaseException:
            channel.close()
            os.close(pidfd)
            raise
        stopped_us, hindrance = int(facts["stopped_us"]), str(facts["core_hindrance"])
        return AgentLink(channel, pidfd, hello, str(facts["method"]), stopped_us, hindrance)

    def examine(self, key: TargetKey, *, allow_seccomp: bool = False) -> tuple[Check, ...]:
        """Return every check of an attach to a process, without attaching.

        Raises:
            TargetGone, AttachTimeout: it could not be looked at.
        """
        order = self._order("examine", key, _EXAMINE_S, allow_seccomp=allow_seccomp)
        facts, _ = self._carry_out(order, _EXAMINE_S, lambda: False)
        return tuple(Check(**{**row, "outcome": Outcome(row["outcome"])}) for row in facts["checks"])

    def _order(self, operation: str, key: TargetKey, timeout_s: float, *, allow_seccomp: bool) -> dict[str, object]:
        return {
            "op": operation,
            "pid": key.pid,
            "start_ticks": key.start_ticks,
            "timeout_s": timeout_s,
            "marker": self.marker,
            "dead_man_s": self.dead_man_s,
            "allow_seccomp": allow_seccomp,
        }

    def _carry_out(
        self, order: dict[str, object], timeout_s: float, cancelled: Callable[[], bool]
    ) -> tuple[dict[str, Any], list[int]]:
        """Have a helper carry an order out: where it dies before it has read it, one more."""
        try:
            with self._helper() as helper:
                return helper.order(order, timeout_s, cancelled)
        except Unread:
            with self._helper() as helper:
                return helper.order(order, timeout_s, cancelled)

    def close(self) -> None:
        """End the idle helpers; those at work end with their orders."""
        with self._changed:
            idle, self._idle = self._idle, []
        for helper in idle:
            helper.end()

    @contextmanager
    def _helper(self) -> Iterator[HelperProcess]:
        """Lend out a helper: an idle one, or a new one where none comes free in time."""
        helper = self._take()
        try:
            yield helper
        finally:
            self._give_back(helper)

    def _take(self) -> HelperProcess:
        with self._changed:
            # Nobody is about to give one back where none is at work.
            if not self._idle and self._working:
                self._changed.wait_for(lambda: self._idle, _PATIENCE_S)
            self._changed.wait_for(lambda: self._idle or len(self._working) < _HELPERS_LIMIT)
            helper = self._idle.pop() if self._idle else None
            if helper is None or not helper.lives:
                if helper is not None:
                    helper.end()
                helper = HelperProcess(self._command, self._files_limit)
            self._working.append(helper)
            return helper

    def _give_back(self, helper: HelperProcess) -> None:
        with self._changed:
            self._working.remove(helper)
            keep = helper.lives and not self._idle
            if keep:
                self._idle.append(helper)
            self._changed.notify()
        if not keep:
            helper.end()
