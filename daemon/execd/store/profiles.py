"""Stored profiles as rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.model.profile import IMPORTED
from execd.model.stored import StoredProfile, Totals
from execd.store.database import insert
from execd.store.identifiers import PROFILE, SESSION, not_found, number_of, spell, taken
from execd.store.sessions import STILL_RUNNING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from execd.model.stored import Reason

_SELECT = """
    SELECT profiles.id, profiles.name, profiles.session, collector, form, profiles.reason, profiles.started_at,
           profiles.ended_at, nodes, stored_bytes, pid
      FROM profiles
      JOIN sessions ON sessions.id = profiles.session
      JOIN targets ON targets.id = sessions.target
"""


@dataclass(frozen=True, slots=True)
class NewProfile:
    """What a row says of a profile that is about to be stored; times in seconds since the epoch."""

    name: str
    session: str
    reason: Reason
    started_at: float
    ended_at: float
    nodes: int
    stored_bytes: int
    crc32: int
    stored_at: float


@dataclass(frozen=True, slots=True)
class KeptFile:
    """What retention and the check after a crash need to know of a profile."""

    number: int
    stored_bytes: int
    crc32: int
    stored_at: float
    running: bool


def add_profile(connection: sqlite3.Connection, profile: NewProfile) -> int:
    """Insert a profile and return its number; its name must be free in its session."""
    session = number_of(SESSION, profile.session)
    check_free(connection, profile.name, session)
    return insert(
        connection,
        "INSERT INTO profiles (name, session, reason, started_at, ended_at, nodes, stored_bytes, crc32,"
        " stored_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            profile.name,
            session,
            profile.reason,
            profile.started_at,
            profile.ended_at,
            profile.nodes,
            profile.stored_bytes,
            profile.crc32,
            profile.stored_at,
        ),
    )


def superseded(connection: sqlite3.Connection, number: int) -> list[int]:
    """Return the unnamed checkpoints of a profile's session that it takes the place of."""
    rows = connection.execute(
        "SELECT old.id FROM profiles AS new"
        " JOIN profiles AS old ON old.session = new.session AND old.id < new.id"
        " WHERE new.id = ? AND new.reason IN ('checkpoint', 'final') AND old.reason = 'checkpoint'"
        " AND old.name = ''",
        (number,),
    )
    return [row["id"] for row in rows]


def remove_profiles(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
    """Delete rows; one that is gone already is no error."""
    connection.executemany("DELETE FROM profiles WHERE id = ?", [(number,) for number in numbers])


def find_profile(connection: sqlite3.Connection, reference: str) -> StoredProfile:
    """Return the profile of an id, or the newest of a name."""
    number = number_of(PROFILE, reference)
    where = "profiles.name = ?" if number is None else "profiles.id = ?"
    rows = connection.execute(
        f"{_SELECT} WHERE {where} ORDER BY profiles.id DESC", (reference if number is None else number,)
    ).fetchall()
    if not rows:
        raise not_found(PROFILE, reference)
    return _stored(rows[0])


def check_free(connection: sqlite3.Connection, name: str, session: int | None) -> None:
    """Raise where another profile of the session has a name; those of other sessions may have it.

    Raises:
        UsageError: one has.
    """
    row = connection.execute(
        "SELECT id FROM profiles WHERE name = ? AND name <> '' AND session = ?", (name, session)
    ).fetchone()
    if row is not None:
        raise taken(PROFILE, name, row["id"], "of the same session")


def list_profiles(connection: sqlite3.Connection, *, session: str, limit: int) -> list[StoredProfile]:
    """Return the newest profiles, of one session or, with "", of all; newest first."""
    number = number_of(SESSION, session) if session else None
    rows = connection.execute(
        f"{_SELECT} WHERE :session IS NULL OR profiles.session = :session ORDER BY profiles.id DESC LIMIT :limit",
        {"session": number, "limit": max(limit, 0)},
    )
    return [_stored(row) for row in rows]


def kept_file(connection: sqlite3.Connection, profile_id: str) -> KeptFile:
    """Return what is known of the file of one profile."""
    for kept in _kept_files(connection, "WHERE profiles.id = ?", (number_of(PROFILE, profile_id),)):
        return kept
    raise not_found(PROFILE, profile_id)


def kept_files(connection: sqlite3.Connection) -> list[KeptFile]:
    """Return all files that the rows speak of, oldest first."""
    return _kept_files(connection, "", ())


def exceed(connection: sqlite3.Connection, *, oldest_at: float, max_bytes: int) -> bool:
    """Return whether any profile is older than an instant, or all are bigger together; without a list of them."""
    row = connection.execute("SELECT min(stored_at), sum(stored_bytes) FROM profiles").fetchone()
    return row[0] is not None and (row[0] < oldest_at or row[1] > max_bytes)


def totals(connection: sqlite3.Connection) -> Totals:
    """Return how many profiles there are, and their bytes."""
    row = connection.execute("SELECT count(*), coalesce(sum(stored_bytes), 0) FROM profiles").fetchone()
    return Totals(profiles=row[0], bytes=row[1])


def _kept_files(connection: sqlite3.Connection, where: str, values: tuple[object, ...]) -> list[KeptFile]:
    rows = connection.execute(
        f"SELECT profiles.id, stored_bytes, crc32, stored_at, {STILL_RUNNING} AS running"  # noqa: S608 - constants
        f" FROM profiles JOIN sessions ON sessions.id = profiles.session {where} ORDER BY profiles.id",
        values,
    )
    return [
        KeptFile(row["id"], row["stored_bytes"], row["crc32"], row["stored_at"], bool(row["running"])) for row in rows
    ]


def _stored(row: sqlite3.Row) -> StoredProfile:
    return StoredProfile(
        id=spell(PROFILE, row["id"]),
        name=row["name"],
        session=spell(SESSION, row["session"]),
        collector=row["collector"],
        # The schema has no such reason: what was imported is a snapshot of a session of that form.
        reason=IMPORTED if row["form"] == IMPORTED else row["reason"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        nodes=row["nodes"],
        stored_bytes=row["stored_bytes"],
        pid=row["pid"],
    )
