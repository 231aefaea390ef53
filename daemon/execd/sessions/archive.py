"""Stored profiles, found by what people call them, and with what must be known of them by now."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from execd.errors import NotFound, UsageError
from execd.model.collector import CENSUS
from execd.model.growth import GROWING, no_growth
from execd.model.profile import MERGED
from execd.model.session import State
from execd.sessions import selection

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from execd.model.profile import Profile
    from execd.model.session import Session
    from execd.model.stored import StoredProfile
    from execd.model.target import TargetKey
    from execd.store.store import Store

_ALL = 10_000
_FEWEST = 2
# A checkpoint that was found goes when the next one comes, which may be at once, but hardly twice.
_FINDINGS = 3
# A session that ended otherwise leaves its last checkpoint, or a snapshot that is newer.
_UNFINISHED = (State.FAILED, State.TARGET_GONE, State.INTERRUPTED)


def newest(store: Store, subject: str) -> StoredProfile:
    """Return the newest profile of a session, PID or name, or one by its own name; "" the newest of all.

    Raises:
        NotFound: there is none.
        Ambiguous: several processes have the name.
    """
    if subject and not selection.is_pid(subject):
        return _by_name(store, subject)
    rows = store.stored_profiles(limit=_ALL if subject else 1)
    # What was imported is of no process: its PID is 0.
    rows = [row for row in rows if not subject or row.pid == int(subject) > 0]
    if not rows:
        missing = f"nothing is stored of process {subject}" if subject else "nothing has been recorded yet"
        raise NotFound(missing, remedy="attach to a process: execctl attach PID --profile")
    return rows[0]


def earlier(store: Store, profile: StoredProfile, compare: str) -> StoredProfile | None:
    """Return what to compare a profile with, None where the word says nothing among its own.

    Args:
        store: where both are.
        profile: the later one.
        compare: "prev" or "first", snapshots of the same recording; or a name of one of them.

    Raises:
        NotFound: there is no such snapshot.
    """
    rows = _recording(store, profile)
    if compare not in ("prev", "first"):
        # Another session may have given the name too.
        return next((row for row in rows if row.name == compare), None)
    older = [row for row in rows if int(row.id[1:]) < int(profile.id[1:])]
    if not older:
        raise NotFound(
            f"session {profile.session} has no snapshot earlier than {profile.id}",
            remedy="take one: execctl snapshot",
            profile=profile.id,
        )
    return older[0] if compare == "prev" else older[-1]


def series(store: Store, subject: str, last: int, collectors: Container[str]) -> list[StoredProfile]:
    """Return the latest snapshots of one recording in which growth is looked for, the oldest first.

    Args:
        store: where they are.
        subject: a session, a PID, a name; "" for the recording of the newest such snapshot.
        last: how many.
        collectors: of these alone.

    Raises:
        UsageError: the session records what does not grow.
        NotFound: there are no two of them.
        Ambiguous: several processes have the name.
    """
    # A sum is no step of a recording.
    rows = [row for row in _of_subject(store, subject) if row.reason not in ("checkpoint", MERGED)]
    growing = [row for row in rows if row.collector in collectors]
    if rows and not any(row.collector in GROWING for row in rows):
        raise no_growth(rows[0].collector)
    found = _recording(store, growing[0])[:last] if growing else []
    if len(found) < _FEWEST:
        has = f"only {found[0].id}" if found else "no snapshot"
        raise NotFound(
            f"growth shows between two snapshots of memory or two censuses, and of {subject or 'all'} there is {has}",
            remedy="take another: execctl snapshot, or execctl census PID",
        )
    return found[::-1]


def session_of(store: Store, word: str) -> Session:
    """Return a session by its id or its name, or of a group the first one: a tree's root is before its descendants.

    Raises:
        NotFound: there is none.
    """
    if not selection.is_group(word):
        return store.session(word)
    sessions = store.group_sessions(word)
    if not sessions:
        raise NotFound(f"group {word} has no session", remedy="list them: execctl sessions --all")
    return sessions[0]


def root_of(store: Store, group: str, collector: str = "") -> Session:
    """Return the session that a group is reported by, of one collector where that is given: of a tree the root's.

    Raises:
        NotFound: there is none.
        UsageError: the group's sessions are of several collectors.
    """
    first = session_of(store, group)
    roots = [
        one
        for one in store.group_sessions(group)
        if one.target.key == first.target.key and collector in ("", one.spec.collector)
    ]
    if len(roots) > 1:
        listed = ", ".join(f"{one.id} ({one.spec.collector})" for one in roots)
        raise UsageError(f"{group} is of several collectors", remedy=f"name one of its sessions: {listed}", group=group)
    return roots[0] if roots else first


def below(store: Store, root: Session) -> list[Session]:
    """Return the sessions of the descendants of a tree's root that its own stands for; [] of one that is no root."""
    if not root.spec.children:
        return []
    sessions = store.group_sessions(root.group)
    return [one for one in sessions if one.spec.collector == root.spec.collector and not one.spec.children]


def load(store: Store, stored: StoredProfile) -> Profile:
    """Return a stored profile, with what its session's end has made of it."""
    profile = at_its_end(store.load(stored.id), stored, store.session(stored.session))
    # Its session has another checkpoint some seconds later, and this one is gone.
    lasting = stored.session if stored.reason == "checkpoint" else ""
    return replace(profile, header=replace(profile.header, lasting=lasting))


def at_its_end(profile: Profile, stored: StoredProfile, session: Session) -> Profile:
    """Return a profile with what the end of its session, as it is given, has made of it."""
    is_last = stored.reason == "checkpoint" or (stored.reason == "snapshot" and session.latest_profile == stored.id)
    if not is_last or session.state not in _UNFINISHED or not session.ended_at:
        return profile
    if session.state is State.INTERRUPTED:
        # Of a daemon that was killed nobody knows when.
        until = f"{datetime.fromtimestamp(profile.header.ended_at, UTC):%H:%M:%S}"
        caveat = f"the last {stored.reason} of a session that was interrupted: what came after {until} UTC is missing"
    else:
        missing_s = max(session.ended_at - profile.header.ended_at, 0)
        ended = f"{datetime.fromtimestamp(session.ended_at, UTC):%H:%M:%S} UTC ({session.state.value})"
        caveat = f"the last {stored.reason} of a session that ended at {ended}: its last {missing_s:.1f} s are missing"
    header = replace(profile.header, caveats=(caveat, *profile.header.caveats))
    return replace(profile, header=header)


def load_found(store: Store, find: Callable[[], StoredProfile]) -> tuple[StoredProfile, Profile]:
    """Return a stored profile and what is in it, found again where it gave its place to another in between.

    Args:
        store: where it is.
        find: says which; called anew each time.

    Raises:
        NotFound: there is none.
    """
    for _ in range(_FINDINGS - 1):
        try:
            stored = find()
            return stored, load(store, stored)
        except NotFound:
            continue
    stored = find()
    return stored, load(store, stored)


def _recording(store: Store, profile: StoredProfile) -> list[StoredProfile]:
    """Return the snapshots of a profile's session, newest first; all censuses of a process count as of one.

    A checkpoint is nobody's: the next one takes its place.
    """
    if profile.collector != CENSUS.name:
        rows = store.stored_profiles(session=profile.session, limit=_ALL)
        return [row for row in rows if row.reason != "checkpoint"]
    process = store.session(profile.session).target.key
    rows = [row for row in store.stored_profiles(limit=_ALL) if row.collector == CENSUS.name and row.pid == profile.pid]
    return [row for row in rows if row.reason != "checkpoint" and store.session(row.session).target.key == process]


def _of_subject(store: Store, subject: str) -> list[StoredProfile]:
    """Return the stored profiles of a session, a PID or a name, newest first; "" all of them."""
    if not subject:
        return store.stored_profiles(limit=_ALL)
    if selection.is_pid(subject):
        return [row for row in store.stored_profiles(limit=_ALL) if row.pid == int(subject)]
    try:
        session = store.session(subject)
    except NotFound:
        if selection.is_session(subject):
            raise
        key = _process_called(store, subject)
        rows = store.stored_profiles(limit=_ALL)
        return [row for row in rows if row.pid == key.pid and store.session(row.session).target.key == key]
    return store.stored_profiles(session=session.id, limit=_ALL)


def _by_name(store: Store, name: str) -> StoredProfile:
    try:
        session = store.session(name)
    except NotFound:
        if selection.is_session(name):
            raise
        return store.stored(name) if store.knows(name) else _of_process(store, name)
    if not session.latest_profile:
        raise NotFound(f"session {session.id} has no profile ({session.state.value})", remedy=session.reason)
    return store.stored(session.latest_profile)


def _of_process(store: Store, name: str) -> StoredProfile:
    """Return the newest profile of the one process with a name that anything is stored of."""
    key = _process_called(store, name)
    rows = [row for row in store.sessions(limit=_ALL) if row.latest_profile and row.target.key == key]
    return store.stored(max((row.latest_profile for row in rows), key=lambda found: int(found[1:])))


def _process_called(store: Store, name: str) -> TargetKey:
    """Return the one process with a name that anything is stored of."""
    targets = [row.target for row in store.sessions(limit=_ALL) if row.latest_profile]
    key = selection.only_called(name, selection.called(name, targets) or selection.called_partly(name, targets))
    if key is None:
        raise NotFound(
            f"there is no profile, session or process {name!r}", remedy="`execctl profiles` lists what is stored"
        )
    return key
