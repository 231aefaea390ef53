"""The callers collector, Python form: which function called which, how often, as trace's --trackcalls.

A caller is the Python function whose frame is below; a function that a thread begins with has none. A generator's
resumption is a call by whoever resumes it.
"""

from __future__ import annotations

import sys
from time import perf_counter_ns

from execd_agent.collectors.places import DEFAULT_MAX_BYTES, Counter, Places, counted, prepare_table
from execd_agent.collectors.selection import Selection
from execd_agent.collectors.subscription import Subscription
from execd_agent.collectors.table import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any

# A counter with its entry: measured on 3.9 to 3.15.
_PAIR_BYTES = 350


class Callers:
    """One session. options: ignore_modules, ignore_dirs (lists of str; of what is called), max_memory_bytes."""

    def __init__(self, options: dict[str, Any]) -> None:
        selection = Selection(options, files_only=False)
        self._places = Places(selection, int(options.get("max_memory_bytes") or DEFAULT_MAX_BYTES))
        # By the ids of two code objects, the caller's first, 0 where there is none: what counts their calls.
        self._pairs: dict[tuple[int, int], Any] = {}
        # Those that are known as callers alone.
        self._callers: dict[int, CodeType] = {}
        self._hooks = Subscription(self._handlers, disabled=self._places.codes, force=bool(options.get("force")))
        self._started_ns = self._ended_ns = 0

    def start(self) -> list[str]:
        """Arm every thread but the calling one. Returns caveats. Raises Refused."""
        prepare_table()
        self._places.ignore_this_thread()
        self._started_ns = perf_counter_ns()
        return self._hooks.install()

    @property
    def memory_bytes(self) -> int:
        """About how much memory the counters take."""
        return self._places.used_bytes

    def poll(self) -> None:
        """Look for threads that nothing told us of; called from time to time while armed."""
        self._hooks.poll()

    def snapshot(self) -> bytes:
        """Return the table of everything counted until now."""
        span_ns = (self._ended_ns or perf_counter_ns()) - self._started_ns
        table = self._table()
        return table.encode(self._places.header(span_ns, "calls over the memory limit", self._hooks.caveats))

    mark = snapshot

    def stop(self) -> None:
        """Disarm. What was counted stays until `free`."""
        if not self._ended_ns:
            self._hooks.remove()
            self._ended_ns = perf_counter_ns()

    def free(self) -> None:
        """Let go of what was counted; after `stop`."""
        self._pairs.clear()
        self._callers.clear()
        self._places.free()

    def _table(self) -> Table:
        """Return a node a caller, with the calls that it had without one, and below it those that it called."""
        table = Table(("calls",))
        label = table.label()
        called = {pair: counted(up) for pair, up in list(self._pairs.items())}
        below: dict[int, list[tuple[int, int]]] = {}
        for (caller, callee), calls in called.items():
            below.setdefault(caller or callee, [])
            if caller:
                below[caller].append((callee, calls))
        for key, callees in below.items():
            node = table.add(-1, self._location(table, key), label, (called.get((0, key), 0),))
            for callee, calls in callees:
                table.add(node, self._location(table, callee), label, (calls,))
        return table

    def _location(self, table: Table, key: int) -> int:
        return table.location(table.code(self._places.known.get(key) or self._callers[key]))

    def _handlers(self, depth: int, disable: Any) -> dict[str, Any]:
        pairs, meet, frame_at = self._pairs, self._meet, sys._getframe

        def enter(code: CodeType, _offset: int = 0, _error: object = None) -> Any:
            frame = frame_at(depth)
            below = frame.f_back
            try:
                pairs[id(below.f_code) if below is not None else 0, id(code)]()
            except KeyError:
                return meet(code, frame, disable)
            return None

        return {"enter": enter}

    def _meet(self, code: CodeType, frame: FrameType, disable: Any) -> Any:
        """Count a call of a pair for the first time."""
        places, below = self._places, frame.f_back
        if places.is_own_thread():
            return None
        wanted = places.meet(code, frame)
        if wanted is False:
            return disable
        if wanted is None or places.used_bytes + _PAIR_BYTES > places.max_bytes:
            places.lost.up()
            return None
        places.used_bytes += _PAIR_BYTES
        caller = 0
        if below is not None:
            caller = id(below.f_code)
            self._callers[caller] = below.f_code
        # Two threads may come here at once.
        self._pairs.setdefault((caller, id(code)), Counter().up)()
        return None
