"""Everyone: all Python processes of a user, sampled as one group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
