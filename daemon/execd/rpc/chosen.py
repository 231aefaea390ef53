"""What a report is asked for: stored profiles, one, several, or those of all processes of a tree."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from execd.errors import NotFound, UsageError
from execd.model.collector import TRACE
from execd.model.merge import merge
from execd.model.processtree import of_tree
from execd.rpc import snapshots
from execd.sessions import archive
from execd.sessions.selection import is_group, is_session

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from execd.model.profile import Profile
    from execd.model.session import Session
    from execd.model.stored import StoredProfile
    from execd.sessions.registry import Registry
    from execd.store.store import Store

# What is rendered is held in memory, whole.
MOST_ADDED = 1000
_PIDS_TOLD = 10
_Found: TypeAlias = "tuple[StoredProfile, Profile]"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a report is of.

    Attributes:
        stored: where it comes from, at least one; of several the first is named by their sum.
        profile: it, or the sum.
        parts: what that is the sum of; of a tree also where it is of one process; () else.
    """

    stored: tuple[StoredProfile, ...]
    profile: Profile
    parts: tuple[Profile, ...]


class Choice:
    """Finds what reports are asked for."""

    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store

    def of_several(self, subjects: Iterable[str]) -> Chosen:
        """Return the sum of several subjects, a tree's with all of its processes.

        Raises:
            NotFound: there is nothing stored of one.
            UsageError: they do not add up.
        """
        found: list[_Found] = []
        for subject in subjects:
            own, sessions = self._tree(subject)
            found += self._of_sessions(sessions) if sessions else self._with_its_tree(self._load(own))
        return _chosen(found)

    def of_one(self, subject: str, process: int) -> Chosen:
        """Return what is stored of a subject, of a tree the sum of its processes.

        Args:
            subject: a profile, session, group, PID or name; "" for the newest.
            process: the PID of the only process of it that is wanted, 0 for all.

        Raises:
            NotFound: there is nothing.
            UsageError: it has no such process, or the processes do not add up.
        """
        own, sessions = self._tree(subject)
        if not sessions:
            return self.of_stored(self._load(own), process)
        if process:
            wanted = [one for one in sessions if one.target.key.pid == process]
            if not wanted:
                raise _no_process(process, [one.target.key.pid for one in sessions])
            return _chosen(self._of_sessions(wanted))
        return self._of_tree(sessions)

    def is_of_tree(self, stored: StoredProfile) -> bool:
        """Whether a stored profile is the snapshot of a tree's root."""
        return stored.reason == "snapshot" and self._store.session(stored.session).spec.children

    def of_stored(self, found: _Found, process: int = 0) -> Chosen:
        """Return a stored profile, of a snapshot of a tree's root the sum of what was stored of all processes then.

        Args:
            found: it.
            process: as of `of_one`.

        Raises:
            UsageError: as of `of_one`.
        """
        root, is_tree = self._store.session(found[0].session), self.is_of_tree(found[0])
        parts, missing = snapshots.at(self._store, root, found) if is_tree else ([found], 0)
        pids = [profile.header.pid for _, profile in parts]
        if process and process not in pids:
            raise _no_process(process, pids)
        if process or not is_tree:
            return _chosen([one for one in parts if process in (0, one[1].header.pid)])
        kept = [found, *parts[1:][max(len(parts) - MOST_ADDED, 0) :]]
        return _as_tree(root, kept, missing, len(parts) - len(kept), found[0].id)

    def _with_its_tree(self, found: _Found) -> list[_Found]:
        if not self.is_of_tree(found[0]):
            return [found]
        return snapshots.at(self._store, self._store.session(found[0].session), found)[0]

    def _of_tree(self, sessions: Sequence[Session]) -> Chosen:
        root, *others = sessions
        wanted = [root, *others[max(len(others) - MOST_ADDED + 1, 0) :]]
        found = self._of_sessions(wanted)
        return _as_tree(root, found, len(wanted) - len(found), len(sessions) - len(wanted))

    def _of_sessions(self, sessions: Sequence[Session]) -> list[_Found]:
        """Return what is stored of sessions, of one at least. Raises NotFound."""
        found: list[_Found] = []
        gone: list[NotFound] = []
        for session in sessions:
            try:
                found.append(self._load(session.id))
            except NotFound as error:
                gone.append(error)
        if not found:
            raise gone[0]
        return found

    def _load(self, subject: str) -> _Found:
        return archive.load_found(self._store, partial(self._registry.subjects.resolve_profile, subject))

    def _tree(self, subject: str) -> tuple[str, list[Session]]:
        """Return what a subject is itself, and where it is a tree's root the sessions of that, its own first."""
        root = self._session(subject)
        if root is None:
            return subject, []
        if not root.spec.children:
            return root.id if is_group(subject) else subject, []
        return root.id, [root, *archive.below(self._store, root)]

    def _session(self, subject: str) -> Session | None:
        """Return the session that a subject means, None of a profile."""
        if is_group(subject):
            return archive.root_of(self._store, subject)
        try:
            found = self._registry.subjects.recorded(subject)
        except NotFound:
            if not is_session(subject):
                raise
            # Nothing need be stored of a tree's root itself.
            return self._store.session(subject)
        return found if found is None or subject else archive.root_of(self._store, found.group, found.spec.collector)


def _chosen(found: Sequence[_Found]) -> Chosen:
    parts = tuple(part for _, part in found)
    stored = tuple(row for row, _ in found)
    return Chosen(stored, merge(parts), parts) if len(parts) > 1 else Chosen(stored, parts[0], ())


def _as_tree(root: Session, found: Sequence[_Found], missing: int, left_out: int, snapshot: str = "") -> Chosen:
    if len(found) > 1 and root.spec.collector == TRACE.name:
        raise UsageError(
            f"{snapshot or root.id} is {len(found)} traces, of a process each: events in their order do not add up",
            remedy=f"choose one process, --process PID: {_listed(part.header.pid for _, part in found)}",
        )
    chosen = _chosen(found)
    parts = tuple(part for _, part in found)
    return Chosen(chosen.stored, of_tree(chosen.profile, root, parts, missing, left_out, snapshot), parts)


def _no_process(process: int, pids: Iterable[int]) -> UsageError:
    return UsageError(f"nothing here is of process {process}", remedy=f"choose one of: {_listed(pids)}")


def _listed(pids: Iterable[int]) -> str:
    known = list(dict.fromkeys(pids))
    told = ", ".join(map(str, known[:_PIDS_TOLD]))
    return f"{told} and {len(known) - _PIDS_TOLD} more" if len(known) > _PIDS_TOLD else told
