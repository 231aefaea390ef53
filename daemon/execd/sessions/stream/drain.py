"""Drain: the thread that fetches the events of traces, there while a trace goes on and at no other time."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from execd.errors import AgentSilent, ExecdError
from execd.sessions.stream.feed import MOST_TAKEN

if TYPE_CHECKING:
    from execd.sessions.live import LiveTarget
    from execd.sessions.registry import Registry

_LOG = logging.getLogger("execd.sessions")
# An agent holds a quarter of a million events, which takes the busiest program some tenths of a second.
_INTERVAL_S = 0.1
# Where an answer was full.
_BUSY_S = 0.01
# Of a program in which nothing happens; each look at it wakes it up.
_QUIET_S = 0.5
# So many empty looks make it one.
_QUIET_AFTER = 10


class Drain:
    """Fetches the events of all targets in turn."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def look_again(self) -> None:
        """Take notice of a trace that has begun."""
        with self._lock:
            if self._thread is None and self._traced() and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name="execd-drain", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        thread = self._thread
        if thread is not None:
            thread.join(1.0)

    def _run(self) -> None:
        interval_s, empty = _INTERVAL_S, 0
        while not self._closing.wait(interval_s):
            with self._lock:
                lives = self._traced()
                if not lives:
                    self._thread = None
                    return
            found = [self._fetch(live) for live in lives]
            empty = 0 if any(found) else empty + 1
            interval_s = _BUSY_S if max(found) >= MOST_TAKEN else _QUIET_S if empty >= _QUIET_AFTER else _INTERVAL_S

    def _traced(self) -> list[LiveTarget]:
        return [live for live in self._registry.live_targets() if live.feeds()]

    def _fetch(self, live: LiveTarget) -> int:
        try:
            return self._fetched(live)
        except AgentSilent:
            live.silent = True
        except ExecdError as error:
            self._registry.lose(live, error)
        except Exception:  # noqa: BLE001 - it is logged, and the other targets must not overflow
            _LOG.exception("events could not be fetched", extra={"facts": {"pid": live.target.key.pid}})
        return 0

    def _fetched(self, live: LiveTarget) -> int:
        with live.lock:
            if live.gone or (live.silent and not live.link.channel.has_news()):
                return 0
            count = live.fetch_events()
            live.silent = False
            over = [session for feed in live.feeds() if feed.is_complete for session in feed.logs]
            for session in over:
                self._registry.stop(session)
        return count
