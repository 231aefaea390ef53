"""Getting the GIL soon: beside a busy thread each system call of ours would cost a switch interval of 5 ms.

While a request is worked on, a few milliseconds to tens of them, the interpreter's switch interval is short; then it is
what it was. An interval that the target sets meanwhile is its own and stays.
"""

from __future__ import annotations

import sys

_SHORT_S = 0.0001


class Haste:
    """A context manager; entering again while it is entered changes nothing. Used by the agent's thread alone."""

    def __init__(self, usual_s: float | None = None) -> None:
        """Take over from launch.py, which has shortened the interval from `usual_s` seconds already."""
        self._usual_s = usual_s
        self._short_s = sys.getswitchinterval()

    def __enter__(self) -> None:
        if self._usual_s is None:
            self._usual_s = sys.getswitchinterval()
            sys.setswitchinterval(_SHORT_S)
            self._short_s = sys.getswitchinterval()

    def __exit__(self, *_error: object) -> None:
        self.end()

    def end(self) -> None:
        """Put the interval back. Also for a forked child, which has inherited it."""
        usual_s, self._usual_s = self._usual_s, None
        if usual_s is not None and sys.getswitchinterval() == self._short_s:
            sys.setswitchinterval(usual_s)
