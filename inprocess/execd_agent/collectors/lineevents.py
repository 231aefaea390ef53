"""What sys.monitoring's LINE leaves out of the lines that sys.settrace tells of (3.12+).

A line that jumps back onto itself is told of again by sys.settrace: JUMP has that. The first line of a function is
told of also where the function's own beginning stands on it: a lambda, a class's body, a function on one line. LINE is
silent there (3.13 to 3.15) unless PY_START is on at that place.
"""

from __future__ import annotations

from execd_agent.collectors.fanout import DISABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any

# Places that are remembered, with their code objects; beyond it they are looked up anew each time.
_JUMPS_KEPT = 4096
_STARTS_KEPT = 32768


def make_jump(line: Any) -> Any:
    """Return a callback for JUMP that tells of the lines that jump back onto themselves."""
    known: dict[tuple[int, int], tuple[CodeType, int]] = {}

    def jump(code: CodeType, start: int, target: int) -> Any:
        found = known.get((id(code), start))
        if found is not None:
            return line(code, found[1])
        number = own_line(code, start, target)
        if not number:
            return DISABLE
        if len(known) >= _JUMPS_KEPT:
            known.clear()
        # With the code object, whose id stays its own so.
        known[id(code), start] = code, number
        return line(code, number)

    return jump


class Starts:
    """PY_START where lines are wanted: on at functions whose first line is their own beginning."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[CodeType, bool]] = {}

    def codes(self) -> list[CodeType]:
        """Return the code objects in which it may be off."""
        return [code for code, _ in list(self._known.values())]

    def make_start(self, enter: Any) -> Any:
        """Return a callback for PY_START.

        Args:
            enter: told of it as well; it returns DISABLE where it needs it no more. None: nobody is.
        """
        known = self._known

        def start(code: CodeType, offset: int) -> Any:
            if enter is not None and enter(code, offset) is not DISABLE:
                return None
            found = known.get(id(code))
            if found is None:
                if len(known) >= _STARTS_KEPT:
                    return None
                found = known[id(code)] = code, begins_on_first_line(code, offset)
            return None if found[1] else DISABLE

        return start


def begins_on_first_line(code: CodeType, offset: int) -> bool:
    """Tell whether the instruction after the one at this offset stands on the same line."""
    found = _lines_at(code, (offset, offset + 2))
    return found[0] == found[-1]


def own_line(code: CodeType, start: int, target: int) -> int:
    """Return the line of a jump backwards that stays on it, else 0."""
    if target >= start:
        return 0
    found = _lines_at(code, (start, target))
    return found[0] or 0 if found[0] == found[-1] else 0


def _lines_at(code: CodeType, offsets: tuple[int, int]) -> list[int | None]:
    """Return the lines of the ranges that these offsets, bytes, lie in; one where both lie in the same."""
    ranges: Any = code.co_lines()
    first, second = offsets
    return [line for begin, end, line in ranges if begin <= first < end or begin <= second < end]
