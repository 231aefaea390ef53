"""The targets that have our agent: how one comes to be that has come by itself, and the table of them."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from execd.attach.scan import look_at
from execd.sessions.live import LiveTarget

if TYPE_CHECKING:
    from collections.abc import Callable

    from execd.attach.attacher import AgentLink
    from execd.model.target import TargetKey
    from execd.sessions.armed import Running


def come(link: AgentLink, pid: int, clock: Callable[[], float]) -> LiveTarget:
    """Return the target of an agent that came by itself. Raises TargetGone, NotPermitted, and closes the link."""
    try:
        target = look_at(pid)
        return LiveTarget(replace(target, python_version=link.hello.python_version), link, clock)
    except BaseException:
        link.close()
        raise


class Attached:
    """For any thread; its lock guards the tables alone, and is never held while a target is waited for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._targets: dict[TargetKey, LiveTarget] = {}
        self._attaching: dict[TargetKey, threading.Lock] = {}

    def keys(self) -> set[TargetKey]:
        """Return which they are."""
        with self._lock:
            return set(self._targets)

    def all(self) -> list[LiveTarget]:
        """Return them, in the order in which they came."""
        with self._lock:
            return list(self._targets.values())

    def get(self, key: TargetKey) -> LiveTarget | None:
        """Return one of them."""
        with self._lock:
            return self._targets.get(key)

    def running(self) -> list[tuple[LiveTarget, Running]]:
        """Return what records in them."""
        return [(live, running) for live in self.all() for running in list(live.running.values())]

    def of_session(self, session: str) -> tuple[LiveTarget, Running] | None:
        """Return what records for a session, with its target; None of one that does not go on there."""
        found = ((live, live.running.get(session)) for live in self.all())
        return next(((live, running) for live, running in found if running is not None), None)

    def enter(self, live: LiveTarget) -> None:
        """Take in a target."""
        with self._lock:
            self._targets[live.target.key] = live

    def drop(self, live: LiveTarget) -> None:
        """Forget a target."""
        with self._lock:
            self._targets.pop(live.target.key, None)
            attaching = self._attaching.get(live.target.key)
            if attaching is not None and not attaching.locked():
                del self._attaching[live.target.key]

    def turn(self, key: TargetKey) -> threading.Lock:
        """Return the lock that orders the attaches to one process."""
        with self._lock:
            return self._attaching.setdefault(key, threading.Lock())
