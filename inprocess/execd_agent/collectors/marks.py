"""What the collectors have in common that note a place once: the number of the start that it was seen after.

A start is that of the collector, or a `mark`: whoever began at one is told the places with a later number.
"""

from __future__ import annotations

from time import perf_counter_ns

from execd_agent.collectors.places import DEFAULT_MAX_BYTES, Places, prepare_table
from execd_agent.collectors.selection import Selection
from execd_agent.collectors.subscription import Subscription
from execd_agent.collectors.table import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any


class Marks:
    """One session; `cover.py` and `functions.py` say what its places are.

    Args:
        options: ignore_modules, ignore_dirs (lists of str), max_memory_bytes.
        files_only: leave code out that runs in no file's namespace.
    """

    LOST = "places over the memory limit"

    def __init__(self, options: dict[str, Any], *, files_only: bool) -> None:
        selection = Selection(options, files_only=files_only)
        self._places = Places(selection, int(options.get("max_memory_bytes") or DEFAULT_MAX_BYTES))
        self._number = 1
        self._hooks = Subscription(
            self._handlers, wants=self._wants, disabled=self._places.codes, force=bool(options.get("force"))
        )
        self._started_ns = self._ended_ns = 0

    def start(self) -> list[str]:
        """Arm every thread but the calling one. Returns caveats. Raises Refused."""
        prepare_table()
        self._places.ignore_this_thread()
        self._started_ns = perf_counter_ns()
        return self._hooks.install()

    @property
    def memory_bytes(self) -> int:
        """About how much memory the places take."""
        return self._places.used_bytes

    def poll(self) -> None:
        """Look for threads that nothing told us of; called from time to time while armed."""
        self._hooks.poll()

    def snapshot(self) -> bytes:
        """Return the table of everything seen until now."""
        return self._table(self._number)

    def mark(self) -> bytes:
        """Return what was seen until now; what is seen from now on has a higher number, be it seen before or not."""
        self._number += 1
        self._forget()
        self._hooks.rearm()
        # Threads have gone on: what has the new number already is whose who begins here.
        return self._table(self._number - 1)

    def _table(self, latest: int) -> bytes:
        span_ns = (self._ended_ns or perf_counter_ns()) - self._started_ns
        table = Table(("mark",))
        label = table.label()
        for code, line, mark in self._seen():
            if mark <= latest:
                table.add(-1, table.location(table.code(code), line), label, (mark,))
        return table.encode(self._places.header(span_ns, self.LOST, self._hooks.caveats))

    def stop(self) -> None:
        """Disarm. What was seen stays until `free`."""
        if not self._ended_ns:
            self._hooks.remove()
            self._ended_ns = perf_counter_ns()

    def free(self) -> None:
        """Let go of what was seen; after `stop`."""
        self._places.free()

    def _seen(self) -> list[tuple[CodeType, int, int]]:
        """Return each place: code, line, number."""
        raise NotImplementedError

    def _handlers(self, depth: int, disable: Any) -> dict[str, Any]:
        raise NotImplementedError

    def _wants(self, code: CodeType, frame: FrameType) -> bool:
        return self._places.wants(code, frame)

    def _forget(self) -> None:
        """Take note that a new number has begun."""
