"""What a command asks of the daemon, as values: the commands know no generated code."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class View(Enum):
    """Which tables of a text report."""

    FUNCTIONS = "VIEW_UNSPECIFIED"
    CALLERS = "VIEW_CALLERS"
    CALLEES = "VIEW_CALLEES"


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """What to measure, and what becomes of it.

    Attributes:
        collector: "calls".
        options: its own, as JSON values.
        labels: of the session, by key.
        into: the name of the stored profile that the session's last one is added to, or "".
        children: of the descendants of the process too.
    """

    collector: str
    options: Mapping[str, object] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    into: str = ""
    children: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """How a text report is laid out.

    Attributes:
        width: columns of a line; 0: as the daemon has it where it is not told, 100.
        is_wide: nothing is shortened.
        has_color: with SGR sequences.
        is_ascii: bars and marks in ASCII.
        has_header: what stands above and below the tables is there too.
    """

    width: int = 0
    is_wide: bool = False
    has_color: bool = False
    is_ascii: bool = False
    has_header: bool = True


@dataclass(frozen=True, slots=True)
class ReportQuery:
    """What to render, and how.

    Attributes:
        subject: a profile, session, PID or name; "" for the newest profile.
        form: "text", "json", or another format that profiles of its collector have.
        sort: pstats' sort keys, in order.
        reverse: the other way round.
        limit: pstats' restrictions, in order.
        view: which tables.
        strip_dirs: file names without their directories.
        thread: only this thread, by name or identifier; "" for all.
        per_thread: a table for each thread.
        per_process: of a tree a report for each process.
        process: of a tree only the process of this PID; 0 for all, added up.
        compare: an earlier profile, "prev" or "first"; "" for no comparison.
        settings: what is asked of one collector's reports alone, JSON values.
        files: several files, as a report of one file for each source file has them.
        added: further subjects; what is rendered is the sum of all.
        layout: of a text report.
    """

    subject: str
    form: str
    sort: tuple[str, ...] = ()
    reverse: bool = False
    limit: tuple[str, ...] = ()
    view: View = View.FUNCTIONS
    strip_dirs: bool = False
    thread: str = ""
    per_thread: bool = False
    per_process: bool = False
    process: int = 0
    compare: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)
    files: bool = False
    added: tuple[str, ...] = ()
    layout: Layout = field(default_factory=Layout)

    def of_files(self, *, beside: bool) -> ReportQuery:
        """Return the query for a listing of each source, named by where it goes below a directory.

        Args:
            beside: named by the place beside its source instead.
        """
        settings = {**self.settings, **({"beside": True} if beside else {})}
        return replace(self, form="cover", files=True, settings=settings)

    def of_profile(self, profile: str, added: tuple[str, ...] = ()) -> ReportQuery:
        """Return the query for this profile, and those that are added to it."""
        return replace(self, subject=profile, added=added)


@dataclass(frozen=True, slots=True)
class GrowthQuery:
    """What to look at for growth.

    Attributes:
        subject: a session, PID or name; "" for the newest snapshot that growth is known of.
        form: "text" or "json".
        last: how many snapshots.
        limit: how many things to show at most.
        settings: as in ReportQuery; "by" may be "type" too.
        layout: of a text report.
    """

    subject: str
    form: str
    last: int
    limit: int
    settings: Mapping[str, object] = field(default_factory=dict)
    layout: Layout = field(default_factory=Layout)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which stored profiles.

    Attributes:
        session: only those of this one; "" for all.
        collector: only those of this one; "" for all.
        labels: that they have all, by key.
        max_age_s: stored at most so long ago; 0.0 for all.
        min_age_s: stored at least so long ago.
    """

    session: str = ""
    collector: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    max_age_s: float = 0.0
    min_age_s: float = 0.0
