"""The search for descendants that do not come by themselves: those that were there before, and those that execute."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.attach.descendants import descendants, reads_path
from execd.errors import ExecdError

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable

    from execd.attach.descendants import Descendant

# Between two looks; a look that takes long is followed by so many times as long without one.
_PAUSE_S = 0.02
_REST = 30.0
# A copy of its parent comes by itself within this time, or not at all.
_COPY_S = 1.0
# Of those that were there before us: one that is just coming is not attached to.
_SETTLE_S = 0.05
# For so long an interpreter may not be ready yet, and is tried again.
_START_S = 2.0
_AGAIN_S = 0.02
# It is tried less and less often: after this share of the time since it was found.
_AGAIN_SHARE = 0.5


@dataclass(slots=True)
class _Found:
    """What was found: since when, when it is due to be tried, on time.monotonic(), and whether it is never again."""

    since: float
    due: float
    is_over: bool = False


class Search:
    """One tree's search; used by one thread, but for `again`.

    Args:
        root: the process whose descendants are looked for.
        start_s: how long those that execute a program may take to come by themselves, 0.0 where none does.
    """

    def __init__(self, root: int, start_s: float) -> None:
        self._start_s = start_s
        # What the root has left in its environment, see startup.py.
        self._path = b"/proc/%d/fd/" % root
        self._found: dict[tuple[int, int, Hashable], _Found] = {}
        self._by_pid: dict[int, _Found] = {}
        self._is_first = True
        self.pause_s = _PAUSE_S

    def due(self, followed: Collection[int]) -> list[int]:
        """Return the processes that are to be attached to now, each once until `again` is said of it.

        Args:
            followed: those with our agent, whose forked children come by themselves; the root among them.
        """
        began = time.monotonic()
        there = descendants(set(followed))
        found: dict[tuple[int, int, Hashable], _Found] = {}
        for one in there.values():
            key = (one.pid, one.start_ticks, one.image)
            found[key] = self._found.get(key) or _Found(began, self._first_due(one, began, followed))
        self._found = found
        self._by_pid = {pid: found for (pid, _, _), found in found.items()}
        self._is_first = False
        now = time.monotonic()
        self.pause_s = max(_PAUSE_S, (now - began) * _REST)
        return [pid for pid, one in self._by_pid.items() if self._is_due(there[pid], one, now)]

    def again(self, pid: int) -> bool:
        """Have a process tried again that was not ready; False where it has been so for too long."""
        found = self._by_pid.get(pid)
        if found is None or time.monotonic() > found.since + self._start_s + _START_S:
            return False
        now = time.monotonic()
        found.due, found.is_over = now + max(_AGAIN_S, (now - found.since) * _AGAIN_SHARE), False
        return True

    def _first_due(self, one: Descendant, now: float, followed: Collection[int]) -> float:
        if self._is_first:
            return now + _SETTLE_S
        if one.is_copy:
            return now + (_COPY_S if one.parent in followed else 0.0)
        return now + (self._start_s if self._comes(one.pid) else 0.0)

    def _comes(self, pid: int) -> bool:
        """Whether an interpreter that has just been executed comes by itself."""
        with suppress(ExecdError):
            return self._start_s > 0 and reads_path(pid, self._path)
        return False

    def _is_due(self, one: Descendant, found: _Found, now: float) -> bool:
        if found.is_over or one.shares_memory or now < found.due:
            return False
        found.is_over = True
        return True
