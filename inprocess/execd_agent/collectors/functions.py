"""The functions collector, Python form: which functions were entered, each noted once, as trace's --listfuncs.

3.12 and newer switch a function's events off after the first; before, the profile function is told of each call.
"""

from __future__ import annotations

import sys

from execd_agent.collectors.marks import Marks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any


class Functions(Marks):
    """One session; for its options see `Marks`."""

    LOST = "functions over the memory limit"

    def __init__(self, options: dict[str, Any]) -> None:
        # By the id of a code object.
        self._marks: dict[int, int] = {}
        super().__init__(options, files_only=False)

    def free(self) -> None:
        """Let go of what was seen; after `stop`."""
        self._marks.clear()
        super().free()

    def _handlers(self, depth: int, disable: Any) -> dict[str, Any]:
        marks, meet = self._marks, self._meet

        def enter(code: CodeType, _offset: int = 0, _error: object = None) -> Any:
            try:
                if marks[id(code)] == self._number:
                    return disable
            except KeyError:
                pass  # as if it had another number
            return meet(code, sys._getframe(depth), disable)

        return {"enter": enter}

    def _meet(self, code: CodeType, frame: FrameType, disable: Any) -> Any:
        """Note a function."""
        if self._places.is_own_thread():
            return None
        wanted = self._places.meet(code, frame)
        if wanted is None:
            self._places.lost.up()
        elif wanted:
            self._marks[id(code)] = self._number
        return disable

    def _seen(self) -> list[tuple[CodeType, int, int]]:
        return [(self._places.known[key], 0, mark) for key, mark in list(self._marks.items())]
