"""Everyone: all Python processes of a user, sampled as one group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execctl.api.session import Session


@dataclass(frozen=True, slots=True)
class Everyone:
    """What `Client.record_all` has begun.

    Attributes:
        group: of the sessions, also of those to come: `Client.stop` ends all of it.
        sessions: those of the processes that are there.
        notes: which processes have none, and why, one sentence each.
    """

    group: str
    sessions: tuple[Session, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpenGroup:
    """A group that processes come to, until it is stopped; those that came have a session each.

    Attributes:
        id: "g3": `Client.stop` ends it, with its sessions.
        name: what the user called it, or "".
        collector: what measures: "samples".
        options: the collector's own, JSON values.
        labels: of each session, by key.
        started_at: seconds since the epoch.
    """

    id: str
    name: str
    collector: str
    options: Mapping[str, object]
    labels: Mapping[str, str]
    started_at: float
