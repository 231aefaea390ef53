"""The lines collector, Python form: how often each line ran, in all threads, as `python -m trace --count` counts."""

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
_LINE_BYTES = 250


class Lines:
    """One session. options: ignore_modules, ignore_dirs (lists of str), max_memory_bytes."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._places = Places(Selection(options), int(options.get("max_memory_bytes") or DEFAULT_MAX_BYTES))
        # By the id of a code object, then by line: what counts it.
        self._counters: dict[int, dict[int, Any]] = {}
        places = self._places
        self._hooks = Subscription(
            self._handlers, wants=places.wants, disabled=places.codes, force=bool(options.get("force"))
        )
        self._started_ns = self._ended_ns = 0

    def start(self) -> list[str]:
        """Arm every thread but the calling one. Returns caveats. Raises Refused."""
        prepare_table()
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
        table = Table(("hits",))
        label = table.label()
        for key, lines in list(self._counters.items()):
            function = table.code(self._places.known[key])
            for line, up in sorted(lines.items()):
                table.add(-1, table.location(function, line), label, (counted(up),))
        return table.encode(self._places.header(span_ns, "lines over the memory limit", self._hooks.caveats))

    mark = snapshot

    def stop(self) -> None:
        """Disarm. What was counted stays until `free`."""
        if not self._ended_ns:
            self._hooks.remove()
            self._ended_ns = perf_counter_ns()

    def free(self) -> None:
        """Let go of what was counted; after `stop`."""
        self._counters.clear()
        self._places.free()

    def _handlers(self, depth: int, disable: Any) -> dict[str, Any]:
        counters, meet = self._counters, self._meet

        def line(code: CodeType, number: int) -> Any:
            try:
                counters[id(code)][number]()
            except KeyError:
                return meet(code, number, sys._getframe(depth), disable)
            return None

        return {"line": line}

    def _meet(self, code: CodeType, number: int, frame: FrameType, disable: Any) -> Any:
        """Count a line for the first time."""
        places = self._places
        wanted = places.meet(code, frame)
        if wanted is False:
            return disable
        if wanted is None or places.used_bytes + _LINE_BYTES > places.max_bytes:
            places.lost.up()
            return None
        places.used_bytes += _LINE_BYTES
        # Two threads may come here at once.
        self._counters.setdefault(id(code), {}).setdefault(number, Counter().up)()
        return None
