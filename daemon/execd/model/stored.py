"""StoredProfile: what the store knows of a profile without reading it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Why a profile was stored: asked for, kept against a crash, the last one of its session, or out of a file.
Reason = Literal["snapshot", "checkpoint", "final", "imported"]


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
        pid: of the target; 0 for one out of a file.
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


@dataclass(frozen=True, slots=True)
class Totals:
    """What the store holds.

    Attributes:
        profiles: how many profiles.
        bytes: how many bytes their files have together.
    """

    profiles: int
    bytes: int
