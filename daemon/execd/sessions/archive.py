"""Stored profiles, found by what people call them, and with what must be known of them by now."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from execd.errors import NotFound
from execd.model.session import State
from execd.sessions import selection

if TYPE_CHECKING:
    from execd.model.profile import Profile
    from execd.model.stored import StoredProfile
    from execd.store.store import Store

_ALL = 10_000
# A session that ended otherwise leaves its last checkpoint.
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
    rows = [row for row in rows if not subject or row.pid == int(subject)]
    if not rows:
        missing = f"nothing is stored of process {subject}" if subject else "nothing has been recorded yet"
        raise NotFound(missing, remedy="attach to a process: execctl attach PID --profile")
    return rows[0]


def earlier(store: Store, profile: StoredProfile, compare: str) -> StoredProfile:
    """Return what to compare a profile with.

    Args:
        store: where both are.
        profile: the later one.
        compare: "prev" or "first", snapshots of the same session; an id or a name.

    Raises:
        NotFound: there is no such profile.
    """
    rows = store.stored_profiles(session=profile.session, limit=_ALL)
    if compare not in ("prev", "first"):
        # Another session may have given the name too.
        return next((row for row in rows if row.name == compare), None) or store.stored(compare)
    # A checkpoint is nobody's: the next one takes its place.
    older = [row for row in rows if int(row.id[1:]) < int(profile.id[1:]) and row.reason != "checkpoint"]
    if not older:
        raise NotFound(
            f"session {profile.session} has no snapshot earlier than {profile.id}",
            remedy="take one: execctl snapshot",
            profile=profile.id,
        )
    return older[0] if compare == "prev" else older[-1]


def load(store: Store, stored: StoredProfile) -> Profile:
    """Return a stored profile, with what its session's end has made of it."""
    profile = store.load(stored.id)
    session = store.session(stored.session)
    if stored.reason != "checkpoint" or session.state not in _UNFINISHED or not session.ended_at:
        return profile
    missing_s = max(session.ended_at - profile.header.ended_at, 0)
    ended = f"{datetime.fromtimestamp(session.ended_at, UTC):%H:%M:%S} UTC ({session.state.value})"
    caveat = f"the last checkpoint of a session that ended at {ended}: its last {missing_s:.1f} s are missing"
    header = replace(profile.header, caveats=(caveat, *profile.header.caveats))
    return replace(profile, header=header)


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
    rows = [row for row in store.sessions(limit=_ALL) if row.latest_profile]
    targets = [row.target for row in rows]
    key = selection.only_called(name, selection.called(name, targets) or selection.called_partly(name, targets))
    if key is None:
        raise NotFound(
            f"there is no profile, session or process {name!r}", remedy="`execctl profiles` lists what is stored"
        )
    newest_id = max((row.latest_profile for row in rows if row.target.key == key), key=lambda found: int(found[1:]))
    return store.stored(newest_id)
