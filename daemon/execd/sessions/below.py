"""What a process leaves to its children: of a prefork master, whose workers do the work, an attach records little."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from execd.attach import process
from execd.attach.descendants import descendants
from execd.errors import ExecdError

if TYPE_CHECKING:
    from collections.abc import Callable

# Shares are of what was done in this time, at least; of an idle tree of all that its processes have done.
_WINDOW_S = 0.1
_BUSY_NS = 1_000_000
# One that does nearly all of the work itself needs no word about its children.
_LEAST_SHARE = 0.1
_MOST_LOOKED_AT = 64


class Below:
    """Looks at the descendants of a process while it is attached to.

    Args:
        pid: the process.
        is_python: whether another one is an interpreter.
    """

    def __init__(self, pid: int, is_python: Callable[[int], bool]) -> None:
        self._pid = pid
        self._began = time.monotonic()
        self._pids: list[int] = []
        with suppress(ExecdError):
            self._pids = [one for one in sorted(descendants({pid}))[:_MOST_LOOKED_AT] if is_python(one)]
        self._before = self._times()

    def told(self) -> str:
        """Return what to say of those that are not recorded, "" for nothing. Takes some 100 ms where there are any."""
        if not self._pids:
            return ""
        time.sleep(max(self._began + _WINDOW_S - time.monotonic(), 0.0))
        after = self._times()
        spent = {pid: time_ns - self._before.get(pid, 0) for pid, time_ns in after.items()}
        is_busy = sum(spent.values()) >= _BUSY_NS
        when = f"in the last {time.monotonic() - self._began:.1f} s" if is_busy else "since they began"
        shares = spent if is_busy else after
        below = 1 - shares.get(self._pid, 0) / (sum(shares.values()) or 1)
        if below < _LEAST_SHARE:
            return ""
        count = len(self._pids)
        who = "a descendant, which" if count == 1 else f"{count} descendants, which"
        return (
            f"process {self._pid} has {who} took {below:.0%} of their common CPU time {when} and"
            f" {'is' if count == 1 else 'are'} not recorded: --children records them too"
        )

    def _times(self) -> dict[int, int]:
        found = {}
        for pid in [self._pid, *self._pids]:
            with suppress(ExecdError):
                found[pid] = process.cpu_ns(pid)
        return found
