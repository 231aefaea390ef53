"""Session: one collector at work on one target, from start to stop."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execd.model.target import Target


class State(Enum):
    """Where a session stands; `sessions/state.py` holds the table of what may follow what."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    TARGET_GONE = "target gone"
    INTERRUPTED = "interrupted"


ENDED = frozenset({State.STOPPED, State.FAILED, State.TARGET_GONE, State.INTERRUPTED})


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """What the user asks for.

    Attributes:
        collector: "calls" and later others.
        options: the collector's own options as JSON values: calls has "builtins" and "subcalls", both booleans,
            and "max_memory_bytes".
        labels: of its session, by key; of one that is stored those that it has now.
        into: the name of the stored profile that its last one is added to, or "".
        children: whether its process's descendants are recorded too, each by a session of its own in the group.
    """

    collector: str
    options: Mapping[str, object] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    into: str = ""
    children: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """A session as it is stored and shown.

    Attributes:
        id: "s12".
        name: what the user called it, or "".
        group: sessions started by one attach share one, "g3".
        target: the process.
        spec: what was asked for.
        form: "native" or "python", "" before it runs.
        state: where it stands.
        started_at, ended_at: seconds since the epoch; ended_at 0.0 while it goes on.
        reason: why it ended, where it did not end by `stop`.
        caveats: what its numbers do not say, one sentence each.
        latest_profile: "p34", or "" while nothing is stored.
    """

    id: str
    name: str
    group: str
    target: Target
    spec: SessionSpec
    form: str
    state: State
    started_at: float
    ended_at: float = 0.0
    reason: str = ""
    caveats: tuple[str, ...] = ()
    latest_profile: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will be recorded."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class OpenGroup:
    """A group that processes come to, until it is stopped; those that came have a session each.

    Attributes:
        id: "g3".
        name: what the user called it, or "".
        spec: of its sessions.
        started_at: seconds since the epoch.
    """

    id: str
    name: str
    spec: SessionSpec
    started_at: float
