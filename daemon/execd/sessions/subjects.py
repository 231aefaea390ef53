"""What a report is of: the profile, or the session, that a word means, taken fresh where it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.errors import TargetGone
from execd.sessions import archive, selection
from execd.sessions.live import LiveTarget

if TYPE_CHECKING:
    from execd.model.session import Session
    from execd.model.stored import StoredProfile
    from execd.sessions.registry import Registry
    from execd.store.store import Store

# Among so many sessions, the newest ones, those in slices are looked for.
_LOOKED_AT = 1000


class Subjects:
    """Finds what words mean, among what goes on and what is stored."""

    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store

    def resolve_profile(self, subject: str) -> StoredProfile:
        """Return the newest profile of a session, PID or name, or a profile by id or name; "" the newest of all.

        A running session is asked for a fresh one first.
        """
        if selection.is_profile(subject):
            return self._store.stored(subject)
        subject = self._registry.meant(subject)
        return self._fresh(subject) or archive.newest(self._store, subject)

    def recorded(self, subject: str) -> Session | None:
        """Return the session whose newest profile a subject means, None of a profile's own id or name."""
        word = self._registry.meant(subject)
        if selection.is_profile(word):
            return None
        rows = [row for row in self._registry.running() if word in ("", row[1].session.id, str(row[0].target.key.pid))]
        if rows:
            return max(rows, key=lambda row: row[1].session.started_at)[1].session
        found = archive.newest(self._store, word)
        return None if word and found.name == word else self._store.session(found.session)

    def of_slices(self, word: str) -> str:
        """Return the newest session in slices that a PID, a name or "" means: others may have begun since.

        Any other word comes back as it is, and so does one that means none.
        """
        meant = self._registry.meant(word)
        if meant and not selection.is_pid(meant):
            return word
        sessions = self._registry.sessions(running_only=False, limit=_LOOKED_AT)
        fitting = [one for one in sessions if one.spec.options.get("keep_s") and meant in ("", str(one.target.key.pid))]
        return fitting[0].id if fitting else word

    def earlier_profile(self, profile: StoredProfile, compare: str) -> StoredProfile:
        """Return what to compare a profile with: "prev", "first", or as in resolve_profile. Raises NotFound."""
        return archive.earlier(self._store, profile, compare) or self.resolve_profile(compare)

    def _fresh(self, subject: str) -> StoredProfile | None:
        """Return a profile taken now of the running session that is meant, None where it has ended."""
        rows = [
            row for row in self._registry.running() if subject in ("", row[1].session.id, str(row[0].target.key.pid))
        ]
        if not rows:
            return None
        live, running = max(rows, key=lambda row: row[1].session.started_at)
        try:
            return self._registry.recorder.store_checkpoint(live, running)
        except TargetGone as error:
            if isinstance(live, LiveTarget):
                self._registry.lose(live, error)
            return None
