"""The store: sessions, profiles and the audit trail of one data directory.

This is all that the rest of the daemon sees of it, narrow enough that another database can stand behind it.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from execd.errors import NotFound
from execd.model.codec import decode, encode
from execd.model.retention import Retention
from execd.model.stored import ALL
from execd.store import audit, labels, naming, profiles, sessions, sources
from execd.store.directory import DataDirectory
from execd.store.ending import end_together
from execd.store.files import discard, file_name, path_of, publish, read_checked, remove, stage
from execd.store.full import check_free_bytes, disk_may_be_full
from execd.store.identifiers import PROFILE, check_name, spell
from execd.store.migrations import current_schema
from execd.store.profiles import new_profile
from execd.store.recovery import open_sound_database
from execd.store.retention import expired

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from execd.model.profile import Profile
    from execd.model.session import Session, SessionSpec
    from execd.model.stored import Reason, StoredProfile, Totals, Wanted
    from execd.model.target import Target
    from execd.store.audit import AuditEntry
    from execd.store.database import Database
    from execd.store.profiles import NewProfile
    from execd.store.recovery import Recovery

# What stays free for the programs on the same disk, and for the rows that say how sessions ended.
_RESERVE_BYTES = 16 * 1024 * 1024
# What a recording that is not bare takes.
_LEAST_PROFILE_BYTES = 64 << 10


class Store:
    """Everything that outlives the daemon, from `open` to `close`; any thread may call any method.

    What a method returned without an error is on disk; one that raises StoreFull left nothing half-written.

    Attributes:
        recovery: what opening it put right.
        retention: what `expire` goes by.
    """

    def __init__(
        self,
        place: DataDirectory,
        database: Database,
        recovery: Recovery,
        *,
        clock: Callable[[], float],
        reserve_bytes: int,
        retention: Retention,
    ) -> None:
        self.recovery = recovery
        self.retention = retention
        self._place = place
        self._database = database
        self._clock = clock
        self._reserve_bytes = reserve_bytes
        self._publishing = threading.Lock()

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        clock: Callable[[], float] = time.time,
        reserve_bytes: int = _RESERVE_BYTES,
        retention: Retention | None = None,
    ) -> Self:
        """Open the store of a data directory, made when it is not there, and put right what a crash left.

        Args:
            directory: the data directory.
            clock: seconds since the epoch.
            reserve_bytes: profiles are refused that would leave less free on the disk.
            retention: how long profiles are kept; None for Retention's defaults.

        Raises:
            UnsafeDirectory: the directory belongs to another user, or others may enter it.
            AlreadyRunning: another process has it open.
            StoreTooNew: a newer execd wrote it.
            StoreFull: the disk takes no more.
        """
        with disk_may_be_full(directory):
            place = DataDirectory.claim(directory)
            try:
                database, recovery = open_sound_database(place, current_schema())
            except BaseException:
                place.release()
                raise
        kept = retention or Retention()
        return cls(place, database, recovery, clock=clock, reserve_bytes=reserve_bytes, retention=kept)

    def close(self) -> None:
        """Close the database and give the directory up."""
        self._database.close()
        self._place.release()

    def new_group(self) -> str:
        """Return the id of a new group, "g3"."""
        with self._database.write() as connection:
            return sessions.add_group(connection)

    def add_session(self, target: Target, spec: SessionSpec, *, name: str, group: str, started_at: float) -> Session:
        """Store a new session and return it, with its id and in state STARTING.

        Args:
            target: the process.
            spec: what to measure.
            name: the user's, or "".
            group: from `new_group`.
            started_at: seconds since the epoch.

        Raises:
            UsageError: the name could be taken for something else, or one that goes on has it, or a label is none.
            NotFound: there is no such group.
        """
        check_name(name)
        labels.check_labels(spec.labels)
        with self._database.write() as connection:
            return sessions.add_session(connection, target, spec, name=name, group=group, started_at=started_at)

    def remove_session(self, identifier: str) -> None:
        """Remove a session that there is no profile of. Raises NotFound."""
        with self._database.write() as connection:
            sessions.remove_session(connection, identifier)

    def check_session_name(self, name: str) -> None:
        """Raise what `add_session` would raise of a name, "" for none, before anything is done for the session."""
        check_name(name)
        with self._database.read() as connection:
            sessions.check_free(connection, name)

    def knows(self, name: str) -> bool:
        """Return whether a session or profile has a name or an id."""
        for find in (self.session, self.stored):
            with suppress(NotFound):
                find(name)
                return True
        return False

    def save_session(self, session: Session) -> None:
        """Store a session as it is now, but for its labels; its latest profile is the store's own knowledge.

        Raises:
            UsageError: the name could be taken for something else.
            NotFound: there is no session of that id.
        """
        check_name(session.name)
        with self._database.write() as connection:
            sessions.save_session(connection, session)

    def session(self, reference: str) -> Session:
        """Return a session by its id, or the newest of a name.

        Raises:
            NotFound: there is none.
        """
        with self._database.read() as connection:
            return sessions.find_session(connection, reference)

    def sessions(
        self, *, running_only: bool = False, limit: int = 100, wanted: Mapping[str, str] | None = None
    ) -> list[Session]:
        """Return sessions that have the wanted labels, newest first; with `running_only` those that have not ended."""
        with self._database.read() as connection:
            return sessions.list_sessions(connection, running_only=running_only, limit=limit, wanted=wanted or {})

    def group_sessions(self, group: str) -> list[Session]:
        """Return the sessions of a group, oldest first. Raises NotFound."""
        with self._database.read() as connection:
            return sessions.of_group(connection, group)

    def add_profile(
        self,
        profile: Profile,
        *,
        session: str,
        reason: Reason,
        name: str = "",
        encoded: bytes = b"",
        in_place_of: str = "",
    ) -> StoredProfile:
        """Store a profile; a checkpoint or final one takes the place of its session's unnamed checkpoint.

        Args:
            profile: the result.
            session: id of the session that it is of.
            reason: why it is stored; where "imported" or "merged" its session is of that form.
            name: the user's, or "".
            encoded: the profile by codec.encode, where the caller has done that; b"" where not.
            in_place_of: the id of a profile that goes in the same instant, and whose labels this one gets; or "".

        Raises:
            UsageError: the name could be taken for something else, or another profile of the session has it.
            NotFound: there is no such session, or none to take the place of.
            ProfileCorrupt: its times are no times.
            StoreFull: the disk takes no more.
        """
        check_name(name)
        owner = self.session(session)
        data = encoded or encode(profile)
        new = new_profile(profile, data, session=owner.id, reason=reason, name=name, stored_at=self._clock())
        with disk_may_be_full(self._place.path):
            check_free_bytes(self._place.path, len(data), self._reserve_bytes)
            return self._publish(new, stage(self._place.profiles, data), in_place_of)

    def end_sessions(self, ends: Sequence[tuple[Session, Profile]]) -> None:
        """Store the last profiles of sessions, and these as they have ended, all or none.

        Raises:
            NotFound, ProfileCorrupt, StoreFull: see `add_profile`.
        """
        rows, now = [], self._clock()
        for session, profile in ends:
            data = encode(profile)
            rows.append((new_profile(profile, data, session=session.id, reason="final", stored_at=now), data, session))
        with disk_may_be_full(self._place.path):
            check_free_bytes(self._place.path, sum(len(data) for _, data, _ in rows), self._reserve_bytes)
            end_together(self._place.profiles, self._database, self._publishing, rows)

    def check_room(self) -> None:
        """Raise StoreFull where the disk has no room for the profile of a session that is to begin."""
        with disk_may_be_full(self._place.path):
            check_free_bytes(self._place.path, _LEAST_PROFILE_BYTES, self._reserve_bytes)

    def stored(self, reference: str) -> StoredProfile:
        """Return what is known of a profile, by its id, or of the newest of a name. Raises NotFound."""
        with self._database.read() as connection:
            return profiles.find_profile(connection, reference)

    def stored_profiles(self, *, session: str = "", limit: int = 100, wanted: Wanted = ALL) -> list[StoredProfile]:
        """Return wanted profiles, newest first, at most `limit`; of one session (id or name) where that is given.

        Raises:
            NotFound: there is no such session.
        """
        with self._database.read() as connection:
            owner = sessions.find_session(connection, session).id if session else ""
            return profiles.list_profiles(connection, session=owner, limit=limit, wanted=wanted, now=self._clock())

    def label(self, reference: str, put: Mapping[str, str], remove: Iterable[str] = ()) -> tuple[str, dict[str, str]]:
        """Change the labels of a session or profile, by id or name, and return its id and its own labels.

        Raises:
            NotFound: there is none.
            UsageError: a label is none, or there are too many.
        """
        labels.check_labels(put)
        with self._database.write() as connection:
            return naming.label(connection, reference, put, remove)

    def rename(self, reference: str, name: str) -> str:
        """Give a profile, by id or name, or a session that has ended, by id, another name; "" for none. Return its id.

        Raises:
            NotFound: there is none.
            UsageError: the name could be taken for something else, is taken, or the session goes on.
        """
        check_name(name)
        with self._database.write() as connection:
            return naming.rename(connection, reference, name)

    def read(self, reference: str) -> bytes:
        """Return the bytes of a stored profile, by its id or name.

        Raises:
            NotFound: there is none, or a newer checkpoint took its place meanwhile.
            ProfileCorrupt: the file does not hold what was stored.
        """
        with self._database.read() as connection:
            kept = profiles.kept_file(connection, profiles.find_profile(connection, reference).id)
        return read_checked(self._path(kept.number), kept.stored_bytes, kept.crc32)

    def load(self, reference: str) -> Profile:
        """Return a stored profile, by its id or name; it raises as `read` does."""
        profile = decode(self.read(reference))
        return replace(profile, header=replace(profile.header, profile=self.stored(reference).id))

    def add_source(self, text: bytes) -> str:
        """Keep the bytes of a source file for as long as profiles are kept, and return their digest.

        Raises:
            StoreFull: the disk takes no more.
        """
        with disk_may_be_full(self._place.path):
            check_free_bytes(self._place.path, len(text), self._reserve_bytes)
            return sources.keep(self._place.sources, text)

    def keep_sources(self, digests: Iterable[str]) -> None:
        """Keep texts as long as what is stored now, though they were kept for something older."""
        sources.touch(self._place.sources, digests)

    def source(self, digest: str) -> bytes | None:
        """Return the bytes of a source file by their digest, None where they are gone."""
        return sources.read(self._place.sources, digest)

    def delete(self, reference: str, *, also_running: bool = True) -> StoredProfile:
        """Remove a profile, by its id or name, and return what it was.

        Raises:
            NotFound: there is none.
            UsageError: its session goes on, and not `also_running`.
        """
        stored = self.stored(reference)
        if stored.running and not also_running:
            raise profiles.goes_on(stored)
        with self._database.read() as connection:
            number = profiles.kept_file(connection, stored.id).number
        self._remove([number])
        return stored

    def expire(self, *, max_age_s: float | None = None, max_bytes: int | None = None) -> list[str]:
        """Remove old profiles, never those of a running session, and return their ids, oldest first.

        Args:
            max_age_s: what was stored longer ago goes; None for what the retention says.
            max_bytes: the oldest go until the rest is no bigger; None as well.
        """
        now = self._clock()
        max_age_s = self.retention.max_age_s if max_age_s is None else max_age_s
        max_bytes = self.retention.max_bytes if max_bytes is None else max_bytes
        with self._database.read() as connection:
            due = profiles.exceed(connection, oldest_at=now - max_age_s, max_bytes=max_bytes)
            kept = profiles.kept_files(connection) if due else []
        gone = expired(kept, now=now, max_age_s=max_age_s, max_bytes=max_bytes)
        self._remove(gone)
        with disk_may_be_full(self._place.path):
            sources.expire(self._place.sources, now - max_age_s)
        return [spell(PROFILE, number) for number in gone]

    def totals(self) -> Totals:
        """Return how much is stored."""
        with self._database.read() as connection:
            return profiles.totals(connection)

    def audit(self, actor_pid: int, action: str, target_pid: int, outcome: str) -> None:
        """Append to the audit trail; AuditEntry says what the arguments mean."""
        entry = audit.AuditEntry(self._clock(), actor_pid, action, target_pid, outcome)
        with self._database.write() as connection:
            audit.add_entry(connection, entry)

    def audit_entries(self, limit: int = 100) -> list[AuditEntry]:
        """Return the newest entries of the audit trail, newest first, at most `limit`."""
        with self._database.read() as connection:
            return audit.list_entries(connection, limit=limit)

    def _publish(self, new: NewProfile, staged: str, in_place_of: str) -> StoredProfile:
        # The file gets its lasting name before the row is committed, and loses it when the commit fails.
        # Until then no other thread may get the number, which a failed commit sets free: hence the lock.
        unfinished = staged
        with self._publishing:
            try:
                with self._database.write() as connection:
                    taken = profiles.take_away(connection, in_place_of) if in_place_of else None
                    number = profiles.add_profile(connection, new)
                    unfinished = self._path(number)
                    publish(staged, self._place.profiles, file_name(number))
                    replaced = profiles.superseded(connection, number)
                    if taken is not None:
                        labels.put(connection, PROFILE, number, taken.labels)
                        replaced.append(taken.number)
                    profiles.remove_profiles(connection, replaced)
                    stored = profiles.find_profile(connection, spell(PROFILE, number))
            except BaseException:
                discard(unfinished)
                discard(staged)
                raise
        remove(self._place.profiles, replaced)
        return stored

    def _remove(self, numbers: list[int]) -> None:
        # Files first: on a full disk their space is what lets the rows be deleted.
        with disk_may_be_full(self._place.path):
            remove(self._place.profiles, numbers)
        with self._database.write() as connection:
            profiles.remove_profiles(connection, numbers)

    def _path(self, number: int) -> str:
        return path_of(self._place.profiles, file_name(number))
