"""Snapshots of process trees: which profiles of its processes were stored with one of its root."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from execd.errors import NotFound
from execd.sessions import archive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.model.profile import Profile
    from execd.model.session import Session
    from execd.model.stored import StoredProfile
    from execd.store.store import Store

_Found: TypeAlias = "tuple[StoredProfile, Profile]"
_SNAPSHOT = "snapshot"
_ALL = 10_000


def at(store: Store, root: Session, found: _Found) -> tuple[list[_Found], int]:
    """Return what is stored of a tree as it was when its root's snapshot was taken, that one first.

    The root's is stored first, and then that of each descendant which is recorded; of those that had ended before, what
    they left. What came later is of a later snapshot.

    Args:
        store: where they are.
        root: the session of the tree's root.
        found: the root's snapshot.

    Returns:
        And of how many processes there is nothing.
    """
    snapshot = found[0]
    later = [_number(row) for row in _snapshots(store, root) if _number(row) > _number(snapshot)]
    before = min(later, default=None)
    members = [one for one in archive.below(store, root) if one.started_at <= snapshot.ended_at]
    stored = [store.stored_profiles(session=one.id, limit=_ALL) for one in members]
    taken = [_taken_with(rows, _number(snapshot), before) for rows in stored]
    # To take those of many takes some time, in which one may end.
    ended_at = max([snapshot.ended_at, *(row.ended_at for row in taken if row)])
    chosen = [row or _left(rows, ended_at) for row, rows in zip(taken, stored, strict=True)]
    parts = [found, *_loaded(store, [row for row in chosen if row])]
    return parts, 1 + len(members) - len(parts)


def _taken_with(rows: Sequence[StoredProfile], root: int, before: int | None) -> StoredProfile | None:
    """Return the first snapshot among some after the root's, and before its next one."""
    fitting = [
        row
        for row in rows
        if row.reason == _SNAPSHOT and root < _number(row) and (before is None or _number(row) < before)
    ]
    return min(fitting, key=_number, default=None)


def _left(rows: Sequence[StoredProfile], ended_at: float) -> StoredProfile | None:
    """Return the last of some profiles that was there by then."""
    return max((row for row in rows if row.ended_at <= ended_at), key=_number, default=None)


def _loaded(store: Store, rows: Sequence[StoredProfile]) -> list[_Found]:
    loaded: list[_Found] = []
    for row in rows:
        try:
            loaded.append((row, archive.load(store, row)))
        except NotFound:
            # Removed meanwhile: it is counted among those of which there is nothing.
            continue
    return loaded


def _snapshots(store: Store, session: Session) -> list[StoredProfile]:
    rows = store.stored_profiles(session=session.id, limit=_ALL)
    return [row for row in rows if row.reason == _SNAPSHOT]


def _number(row: StoredProfile) -> int:
    return int(row.id[1:])
