"""The cover collector, Python form: which lines ran, each noted once.

3.12 and newer switch a line off after its first run. Before, a code object whose lines have all run is traced no more.
"""

from __future__ import annotations

import sys

from execd_agent import compat
from execd_agent.collectors.linetables import traced_lines
from execd_agent.collectors.marks import Marks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any

# An entry of a dict, with its line: measured on 3.9 to 3.15.
_LINE_BYTES = 130


class Cover(Marks):
    """One session; for its options see `Marks`."""

    LOST = "lines over the memory limit"

    def __init__(self, options: dict[str, Any]) -> None:
        # By the id of a code object: the number that each line was seen after, and the lines to come (below 3.12).
        self._marks: dict[int, dict[int, int]] = {}
        self._left: dict[int, set[int]] = {}
        super().__init__(options, wants=self._wants)

    def free(self) -> None:
        """Let go of what was seen; after `stop`."""
        self._marks.clear()
        self._left.clear()
        super().free()

    def _handlers(self, depth: int, disable: Any) -> dict[str, Any]:
        marks, meet = self._marks, self._meet
        again = disable if compat.HAS_MONITORING else None

        def line(code: CodeType, number: int) -> Any:
            try:
                if marks[id(code)][number] == self._number:
                    return again
            except KeyError:
                pass  # as if it had another number
            return meet(code, number, sys._getframe(depth), disable)

        return {"line": line}

    def _meet(self, code: CodeType, number: int, frame: FrameType, disable: Any) -> Any:
        """Note a line of a code object."""
        places, key = self._places, id(code)
        wanted = places.meet(code, frame)
        if wanted is False:
            return disable
        lines = self._marks.get(key, {})
        if wanted is None or (number not in lines and places.used_bytes + _LINE_BYTES > places.max_bytes):
            places.lost.up()
            return disable
        if number not in lines:
            places.used_bytes += _LINE_BYTES
        self._marks.setdefault(key, lines)[number] = self._number
        if compat.HAS_MONITORING:
            return disable
        left = self._left_of(code)
        left.discard(number)
        return None if left else disable

    def _wants(self, code: CodeType, frame: FrameType) -> bool:
        return self._places.wants(code, frame) and (id(code) not in self._places.known or bool(self._left_of(code)))

    def _left_of(self, code: CodeType) -> set[int]:
        """Return the lines that have not run under the present number; below 3.12."""
        left = self._left.get(id(code))
        if left is None:
            # From the table, and not from a running frame: it has been through some of them.
            left = self._left[id(code)] = traced_lines(code)
            self._places.used_bytes += _LINE_BYTES * len(left)
        return left

    def _forget(self) -> None:
        self._left.clear()

    def _seen(self) -> list[tuple[CodeType, int, int]]:
        known = self._places.known
        return [(known[key], *one) for key, lines in list(self._marks.items()) for one in sorted(lines.items())]
