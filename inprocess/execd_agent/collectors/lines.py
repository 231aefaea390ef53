"""The lines collector, Python form: how often each line ran, in all threads, as `python -m trace --count` counts."""

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
_LINE_BYTES = 250


class Lines(Recording):
    """One session; for its options see `Recording`."""

    LOST = "lines over the memory limit"

    def __init__(self, options: dict[str, Any]) -> None:
        # By the id of a code object, then by line: what counts it.
        self._counters: dict[int, dict[int, Any]] = {}
        super().__init__(options)

    def snapshot(self) -> bytes:
        """Return the table of everything counted until now."""
        table = Table(("hits",))
        label = table.label()
        for key, lines in list(self._counters.items()):
            function = table.code(self._places.known[key])
            for line, up in sorted(lines.items()):
                table.add(-1, table.location(function, line), label, (counted(up),))
        return self._encode(table)

    mark = snapshot

    def free(self) -> None:
        """Let go of what was counted; after `stop`."""
        self._counters.clear()
        super().free()

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
