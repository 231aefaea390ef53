"""The processes of a tree, as a profile of it tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class TreeProcess:
    """A process that is in the profile of a tree.

    Attributes:
        pid: its id.
        command_line: its argv.
        python_version: "3.11.7".
        session: that recorded it, "s12".
        profile: what of it is in the sum, "p34".
        started_at, ended_at: the span that this covers, seconds since the epoch.
        lost: what is missing of it, by reason: a count each.
        caveats: what its numbers do not say, one sentence each.
        figures: what it has of the whole, by name: of calls "self_ns" and "calls", of lines "hits", of memory "bytes"
            and "blocks".
    """

    pid: int
    command_line: tuple[str, ...]
    python_version: str
    session: str
    profile: str
    started_at: float
    ended_at: float
    lost: Mapping[str, int]
    caveats: tuple[str, ...]
    figures: Mapping[str, int]


def read_process(raw: Mapping[str, Any]) -> TreeProcess:
    """Return the process that a JSON report holds under "processes"."""
    return TreeProcess(
        pid=raw["pid"],
        command_line=tuple(raw["command_line"]),
        python_version=raw["python_version"],
        session=raw["session"],
        profile=raw["profile"],
        started_at=raw["started_at"],
        ended_at=raw["ended_at"],
        lost=raw["lost"],
        caveats=tuple(raw["caveats"]),
        figures=raw["figures"],
    )
