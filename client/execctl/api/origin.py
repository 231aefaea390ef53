"""Where a profile comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a profile comes from, and what is to be known about it.

    Attributes:
        profile: its id, "p34"; "" of a sum that is not stored.
        collector: "calls", "lines", "memory".
        form: "native" or "python"; "imported", "merged".
        session: that it is of, "s12", or "".
        pid: of the process; 0 of one that was imported or merged.
        command_line: the process's argv; of an import the file.
        python_version: "3.11.7".
        started_at, ended_at: the span that it covers, seconds since the epoch.
        options: the collector's own, JSON values.
        lost: what is missing, by reason: a count each.
        caveats: what the numbers do not say, one sentence each.
        extra: figures of a collector's own, JSON values.
    """

    profile: str
    collector: str
    form: str
    session: str
    pid: int
    command_line: tuple[str, ...]
    python_version: str
    started_at: float
    ended_at: float
    options: Mapping[str, object]
    lost: Mapping[str, int]
    caveats: tuple[str, ...]
    extra: Mapping[str, object]

    @property
    def duration_s(self) -> float:
        """How long the span is, seconds."""
        return self.ended_at - self.started_at


def read_origin(raw: Mapping[str, Any]) -> Origin:
    """Return the origin that a JSON report holds under "profile" or "earlier"."""
    return Origin(
        profile=raw["id"],
        collector=raw["collector"],
        form=raw["form"],
        session=raw["session"],
        pid=raw["pid"],
        command_line=tuple(raw["command_line"]),
        python_version=raw["python_version"],
        started_at=raw["started_at"],
        ended_at=raw["ended_at"],
        options=raw["options"],
        lost=raw["lost"],
        caveats=tuple(raw["caveats"]),
        extra=raw["extra"],
    )
