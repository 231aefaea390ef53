"""Pulse: the daemon's one thread that does things by the clock, and sees targets end.

With nothing attached it sleeps without a time limit: an idle daemon uses no CPU.
"""

from __future__ import annotations

import logging
import math
import os
import select
import threading
import time
from typing import TYPE_CHECKING

from execd.errors import TargetGone
from execd.sessions.governor import Governor
from execd.sessions.stream.drain import Drain

if TYPE_CHECKING:
    from collections.abc import Callable

    from execd.attach.channel import Channel
    from execd.sessions.live import LiveTarget
    from execd.sessions.registry import Registry

_LOG = logging.getLogger("execd.sessions")
# The agent's dead-man switch is at 30 s; while something records, profile functions of new threads are looked for too.
IDLE_BEAT_S = 10.0
RECORDING_BEAT_S = 1.0


class Pulse:
    """Beats every attached target, and tells the registry of ends."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._closing = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._drain = Drain(registry)
        self._governor = Governor(registry)
        self._thread = threading.Thread(target=self._run, name="execd-pulse", daemon=True)
        self._thread.start()

    def look_again(self) -> None:
        """Take notice of targets that came, went or began to record."""
        self._drain.look_again()
        self._governor.look_again()
        try:
            os.write(self._wake_write, b"\0")
        except BlockingIOError:
            return  # it is full of wake-ups already

    def close(self) -> None:
        """End the thread."""
        self._closing = True
        self._drain.close()
        self._governor.close()
        self.look_again()
        self._thread.join(1.0)

    def _run(self) -> None:
        due = math.inf
        while not self._closing:
            self._wait(self._registry.live_targets(), due)
            # Asked again: a target may have come, and begun to record, while we woke up.
            lives = self._registry.live_targets()
            if time.monotonic() >= due:
                for live in lives:
                    self._guarded(self._registry.beat, live, "a beat failed")
                lives, due = self._registry.live_targets(), math.inf
            due = min(due, time.monotonic() + self._interval_s(lives)) if lives else math.inf

    def _guarded(self, do: Callable[[LiveTarget], None], live: LiveTarget, failure: str) -> None:
        try:
            do(live)
        except Exception:  # noqa: BLE001 - it is logged, and the pulse goes on
            # Whatever it is, the other targets must be told that we are there, or their agents leave.
            _LOG.exception(failure, extra={"facts": {"pid": live.target.key.pid}})

    def _interval_s(self, lives: list[LiveTarget]) -> float:
        return RECORDING_BEAT_S if any(live.running for live in lives) else IDLE_BEAT_S

    def _wait(self, lives: list[LiveTarget], due: float) -> None:
        """Sleep until something is due, somebody wakes us, or a target or an agent ends."""
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        ends: dict[int, LiveTarget] = {}
        for live in lives:
            self._register(poll, live, ends)
        timeout_ms = None if due == math.inf else max(due - time.monotonic(), 0) * 1000
        for descriptor, _ in poll.poll(timeout_ms):
            if descriptor == self._wake_read:
                os.read(self._wake_read, 4096)
            else:
                self._guarded(self._report, ends[descriptor], "an end could not be told")

    def _register(self, poll: select.poll, live: LiveTarget, ends: dict[int, LiveTarget]) -> None:
        with live.lock:
            if live.gone:
                return
            channel, process = live.link.channel.fileno(), live.link.pidfd
        if channel < 0:
            self._guarded(self._report, live, "an end could not be told")
            return
        # A pidfd becomes readable when its process ends; a channel's own bytes belong to whoever made a request.
        poll.register(process, select.POLLIN)
        poll.register(channel, select.POLLRDHUP)
        ends[process] = ends[channel] = live

    def _report(self, live: LiveTarget) -> None:
        pid = live.target.key.pid
        with live.lock:
            if live.gone:
                return  # it was let go of while we slept; its descriptors are others' by now
            if live.ended():
                self._registry.lose(live, TargetGone(f"process {pid} has ended", pid=pid))
            elif _is_over(live.link.channel):
                self._registry.lose(live, live.left())


def _is_over(channel: Channel) -> bool:
    """Whether the agent hung up, or the channel closed itself on an answer that broke the protocol."""
    if channel.fileno() < 0:
        return True
    hung_up = select.poll()
    hung_up.register(channel, select.POLLRDHUP)
    return bool(hung_up.poll(0))
