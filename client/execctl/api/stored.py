"""Stored profiles as the daemon's list has them, without their content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """A stored profile; `Client.profile` returns its content.

    Attributes:
        id: "p34".
        name: what the user called it, or "".
        session: the session that it is of, "s12".
        collector: "calls", "lines", "memory".
        reason: why it was stored: "snapshot", "checkpoint", "final", "imported" or "merged".
        pid: of the process; 0 of one that was imported or merged.
        started_at, ended_at: the span that it covers, seconds since the epoch.
        nodes: how large its tree is.
        stored_bytes: on disk.
        running: its session goes on.
        labels: its session's and its own, by key.
    """

    id: str
    name: str
    session: str
    collector: str
    reason: str
    pid: int
    started_at: float
    ended_at: float
    nodes: int
    stored_bytes: int
    running: bool
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Merged:
    """A sum of profiles.

    Attributes:
        profile: the one that was stored.
        parts: those that it is the sum of.
    """

    profile: StoredProfile
    parts: tuple[StoredProfile, ...]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A session or profile with its labels.

    Attributes:
        id: "s12" or "p34".
        labels: its own, by key.
    """

    id: str
    labels: Mapping[str, str]
