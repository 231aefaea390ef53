"""What the collectors have in common that note a place once: the number of the start that it was seen after.

A start is that of the collector, or a `mark`: whoever began at one is told the places with a later number.
"""

from __future__ import annotations

from execd_agent.collectors.recording import Recording
from execd_agent.collectors.table import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType


class Marks(Recording):
    """One session; `cover.py` and `functions.py` say what its places are, for the arguments see `Recording`."""

    _number = 1

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
        table = Table(("mark",))
        label = table.label()
        for code, line, mark in self._seen():
            if mark <= latest:
                table.add(-1, table.location(table.code(code), line), label, (mark,))
        return self._encode(table)

    def _seen(self) -> list[tuple[CodeType, int, int]]:
        """Return each place: code, line, number."""
        raise NotImplementedError

    def _forget(self) -> None:
        """Take note that a new number has begun."""
