"""StoredProfile: what the store knows of a profile without reading it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

# Why a profile was stored: asked for, kept against a crash, the last one of its session, out of a file, or a sum.
Reason = Literal["snapshot", "checkpoint", "final", "imported", "merged"]


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """A stored profile as it is listed.

    Attributes:
        id: "p34".
        name: what the user called it, or "".
        session: the session that it is of, "s12".
        collector: "calls".
        reason: why it was stored.
        started_at, ended_at: the span that it covers, seconds since the epoch.
        nodes: nodes in its tree.
        stored_bytes: bytes on disk.
        pid: of the target; 0 for one out of a file, and for a sum.
        labels: its session's and its own, by key.
        running: its session goes on.
    """

    id: str
    name: str
    session: str
    collector: str
    reason: Reason
    started_at: float
    ended_at: float
    nodes: int
    stored_bytes: int
    pid: int
    labels: Mapping[str, str] = field(default_factory=dict)
    running: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which of the stored profiles.

    Attributes:
        collector: of this one alone; "" for all.
        labels: that they have all, by key.
        max_age_s: stored at most so long ago; 0.0 for all.
        min_age_s: stored at least so long ago.
    """

    collector: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    max_age_s: float = 0.0
    min_age_s: float = 0.0


ALL = Wanted()


@dataclass(frozen=True, slots=True)
class Totals:
    """What the store holds.

    Attributes:
        profiles: how many profiles.
        bytes: how many bytes their files have together.
    """

    profiles: int
    bytes: int
