"""Statistics: what a browser looks at, as a value; the daemon has the figures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from execctl.query import ReportQuery, View

if TYPE_CHECKING:
    from collections.abc import Sequence

# What pstats prints, rendered by the daemon.
FORMAT = "pstats-text"


@dataclass(frozen=True, slots=True)
class Source:
    """A profile that was read.

    Attributes:
        profile: its id, "p34".
        head: how pstats names its file, "" for a profile that has none.
    """

    profile: str
    head: str


@dataclass(frozen=True, slots=True)
class Statistics:
    """What pstats.Stats holds after the verbs so far.

    Attributes:
        sources: what was read, then what was added.
        steps: "add", "strip" and "callees", as the daemon's setting has them.
        sort: the keys; empty where the order is none.
        reverse: the other way round.
    """

    sources: tuple[Source, ...]
    steps: tuple[str, ...] = ()
    sort: tuple[str, ...] = ()
    reverse: bool = False

    def with_added(self, source: Source) -> Statistics:
        """Return these and a profile more; the order is lost, as in pstats."""
        return Statistics((*self.sources, source), (*self.steps, "add"))

    def stripped(self) -> Statistics:
        """Return these without directories; the order is lost, as in pstats."""
        return Statistics(self.sources, (*self.steps, "strip"))

    def with_callees(self) -> Statistics:
        """Return these with the callees known: pstats does not look again when a profile is added."""
        known = "callees" in self.steps and "strip" not in self.steps[self.steps.index("callees") :]
        return self if known else replace(self, steps=(*self.steps, "callees"))

    def sorted_by(self, keys: Sequence[str]) -> Statistics:
        """Return these in the order of keys."""
        return replace(self, sort=tuple(keys), reverse=False)

    def reversed(self) -> Statistics:
        """Return these the other way round; without an order there is nothing to turn."""
        return replace(self, reverse=bool(self.sort) and not self.reverse)

    def query(self, view: View = View.FUNCTIONS, limits: Sequence[str] = ()) -> ReportQuery:
        """Return what to ask for a table of these."""
        return ReportQuery(
            self.sources[0].profile,
            FORMAT,
            sort=self.sort,
            reverse=self.reverse,
            limit=tuple(limits),
            view=view,
            settings={"steps": list(self.steps), "files": [one.head for one in self.sources]},
            added=tuple(one.profile for one in self.sources[1:]),
        )

    def names_query(self) -> ReportQuery:
        """Return what to ask for the names of all functions."""
        return replace(self.query(), form="json", reverse=False, settings={}, strip_dirs="strip" in self.steps)
