"""What a recorder records on: a target with our agent in it, or one that is looked at from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from execd.model.profile import Profile
    from execd.model.session import Session, SessionSpec
    from execd.model.target import Target
    from execd.sessions.armed import Armed, Running
    from execd.sessions.sources import TargetSources
    from execd.store.store import Store


class Recorded(Protocol):
    """A target and the sessions that run there; its lock orders all that is done to it.

    Attributes:
        target: the process.
        lock: held by whoever calls a method.
        running: its sessions, by id.
        gone: nothing can be done any more.
    """

    target: Target
    lock: threading.RLock
    running: dict[str, Running]
    gone: bool

    @property
    def collectors(self) -> Sequence[str]:
        """What can be recorded."""

    def arm(self, spec: SessionSpec) -> Armed:
        """Switch a collector on, or return what is on already. Raises ExecdError."""

    def begin(self, session: Session, armed: Armed) -> Session:
        """Let a session stand on what is armed, and return it as it runs."""

    def disarm_unused(self, armed: Armed) -> None:
        """Switch a collector off that no session came to stand on."""

    def taken(self, running: Running, operation: str = "snapshot") -> Callable[[], Profile]:
        """Take what a session has recorded until now, and return what makes a profile of it, without the lock."""

    def stop(self, running: Running) -> Profile:
        """Return the last profile of a session, which is over."""

    def forget(self, running: Running) -> None:
        """Take a session off the books without asking the target."""

    def kept(self, running: Running) -> Profile | None:
        """Return what is here of a session whose target is gone; None where only the target had it."""

    def sources_in(self, store: Store) -> TargetSources | None:
        """Return what knows the sources of the target; None where no report of what is recorded shows any."""
