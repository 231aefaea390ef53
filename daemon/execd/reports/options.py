"""What a user asks of a report, beside its format."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class View(Enum):
    """Which tables a report shows."""

    FUNCTIONS = "functions"
    CALLERS = "callers"
    CALLEES = "callees"


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """How to render.

    Attributes:
        sort: pstats' sort keys in order, or their unambiguous prefixes; empty: by cumulative time, and for a
            comparison by what became of the function.
        reverse: the other way round.
        limits: pstats' restrictions in order: each an integer, a fraction from 0.0 to 1.0, or a
            regular expression on the standard name.
        view: which tables.
        strip_dirs: file names without their directories; functions that become equal are merged.
        thread: only this thread, by name or by identifier in digits; "" all, merged.
        per_thread: a table for each thread.
    """

    sort: tuple[str, ...] = ()
    reverse: bool = False
    limits: tuple[str, ...] = ()
    view: View = View.FUNCTIONS
    strip_dirs: bool = False
    thread: str = ""
    per_thread: bool = False
