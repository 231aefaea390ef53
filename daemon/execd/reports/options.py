"""What a user asks of a report, beside its format."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

from execd.reports.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class View(Enum):
    """Which tables a report shows."""

    FUNCTIONS = "functions"
    CALLERS = "callers"
    CALLEES = "callees"


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """How to render.

    Attributes:
        sort: pstats' sort keys in order, or their unambiguous prefixes; empty: as text by the time in functions
            themselves, as JSON by cumulative time, and for a comparison by what became of the function.
        reverse: the other way round.
        limits: pstats' restrictions in order: each an integer, a fraction from 0.0 to 1.0, or a
            regular expression on the standard name.
        view: which tables.
        strip_dirs: file names without their directories; functions that become equal are merged.
        thread: only this thread, by name or by identifier in digits; "" all, merged.
        per_thread: a table for each thread.
        per_process: a report for each process of a tree.
        layout: of a text report.
        settings: what is asked of one collector's reports alone, JSON values; each report reads its own.
        source: returns the bytes of a source file by its digest; None where the store has lost it.
    """

    sort: tuple[str, ...] = ()
    reverse: bool = False
    limits: tuple[str, ...] = ()
    view: View = View.FUNCTIONS
    strip_dirs: bool = False
    thread: str = ""
    per_thread: bool = False
    per_process: bool = False
    layout: Layout = field(default_factory=Layout)
    settings: Mapping[str, object] = field(default_factory=dict)
    source: Callable[[str], bytes | None] = lambda _digest: None

    def unstripped(self) -> ReportOptions:
        """Return these options with whole paths, for who strips them later."""
        return replace(self, strip_dirs=False)
