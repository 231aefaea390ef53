"""The callers collector, Python form: which function called which, how often, as trace's --trackcalls.

A caller is the Python function whose frame is below; a function that a thread begins with has none. A generator's
resumption is a call by whoever resumes it.
"""

from __future__ import annotations

import sys

from execd_agent.collectors.places import Counter, counted
from execd_agent.collectors.recording import Recording
from execd_agent.collectors.table import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any

# A counter with its entry: measured on 3.9 to 3.15.
_PAIR_BYTES = 350


class Callers(Recording):
    """One session; for its options see `Recording`: what they leave out is so as what is called."""

    LOST = "calls over the memory limit"

    def __init__(self, options: dict[str, Any]) -> None:
        # By the ids of two code objects, the caller's first, 0 where there is none: what counts their calls.
        self._pairs: dict[tuple[int, int], Any] = {}
        # Those that are known as callers alone.
        self._callers: dict[int, CodeType] = {}
        super().__init__(options, files_only=False)

    def snapshot(self) -> bytes:
        """Return the table of everything counted until now."""
        return self._encode(self._table())

    mark = snapshot

    def free(self) -> None:
        """Let go of what was counted; after `stop`."""
        self._pairs.clear()
        self._callers.clear()
        super().free()

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
