"""Stored profiles as rows."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.errors import ProfileCorrupt, UsageError
from execd.model.profile import IMPORTED, MERGED
from execd.model.stored import StoredProfile, Totals
from execd.store import labels
from execd.store.database import insert
from execd.store.identifiers import PROFILE, SESSION, not_found, number_of, spell, taken
from execd.store.sessions import STILL_RUNNING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from execd.model.profile import Profile
    from execd.model.stored import Reason, Wanted

_SELECT = f"""
    SELECT profiles.id, profiles.name, profiles.session, collector, form, profiles.reason, profiles.started_at,
           profiles.ended_at, nodes, stored_bytes, pid, {STILL_RUNNING} AS running,
           {labels.OF_SESSION} AS session_labels, {labels.OF_PROFILE} AS labels
      FROM profiles
      JOIN sessions ON sessions.id = profiles.session
      JOIN targets ON targets.id = sessions.target
"""  # noqa: S608 - constants


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


def new_profile(
    profile: Profile, data: bytes, *, session: str, reason: Reason, name: str = "", stored_at: float
) -> NewProfile:
    """Return the row of a profile, by its bytes. Raises ProfileCorrupt where its times are no times."""
    return NewProfile(
        name=name,
        session=session,
        reason="snapshot" if reason in ("imported", "merged") else reason,
        started_at=_time(profile.header.started_at),
        ended_at=_time(profile.header.ended_at),
        nodes=len(profile.parents),
        stored_bytes=len(data),
        crc32=zlib.crc32(data),
        stored_at=stored_at,
    )


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
    """Return the checkpoints of a profile's session that it takes the place of: those without name and label."""
    rows = connection.execute(
        "SELECT old.id FROM profiles AS new"
        " JOIN profiles AS old ON old.session = new.session AND old.id < new.id"
        " WHERE new.id = ? AND new.reason IN ('checkpoint', 'final') AND old.reason = 'checkpoint'"
        " AND old.name = '' AND NOT EXISTS (SELECT 1 FROM profile_labels WHERE profile = old.id)",
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


@dataclass(frozen=True, slots=True)
class Taken:
    """A profile that gives its place to another: its row, which is gone, and its own labels."""

    number: int
    labels: dict[str, str]


def take_away(connection: sqlite3.Connection, profile_id: str) -> Taken:
    """Delete the row of a profile, whose file stays for now. Raises NotFound where it is gone already."""
    number = kept_file(connection, profile_id).number
    taken = Taken(number, labels.own(connection, PROFILE, number))
    remove_profiles(connection, [number])
    return taken


def rename_profile(connection: sqlite3.Connection, reference: str, name: str) -> str:
    """Give a profile another name, which must be free in its session, and return its id."""
    stored = find_profile(connection, reference)
    if name != stored.name:
        check_free(connection, name, number_of(SESSION, stored.session))
        connection.execute("UPDATE profiles SET name = ? WHERE id = ?", (name, number_of(PROFILE, stored.id)))
    return stored.id


def goes_on(stored: StoredProfile) -> UsageError:
    """Return the error of a profile that is to go while its session goes on."""
    return UsageError(
        f"profile {stored.id} is of session {stored.session}, which goes on",
        remedy=f"stop it first: execctl stop {stored.session}",
        profile=stored.id,
        session=stored.session,
    )


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


def list_profiles(
    connection: sqlite3.Connection, *, session: str, limit: int, wanted: Wanted, now: float
) -> list[StoredProfile]:
    """Return the newest profiles that are wanted, of one session or, with "", of all; newest first."""
    terms, values = ["1"], list[object]()
    for term, value, is_asked in (
        ("profiles.session = ?", number_of(SESSION, session) if session else None, bool(session)),
        ("collector = ?", wanted.collector, bool(wanted.collector)),
        ("stored_at >= ?", now - wanted.max_age_s, bool(wanted.max_age_s)),
        ("stored_at <= ?", now - wanted.min_age_s, bool(wanted.min_age_s)),
    ):
        terms += [term] if is_asked else []
        values += [value] if is_asked else []
    labelled, of_labels = labels.condition(PROFILE, wanted.labels)
    where = " AND ".join([*terms, labelled])
    rows = connection.execute(
        f"{_SELECT} WHERE {where} ORDER BY profiles.id DESC LIMIT ?", (*values, *of_labels, max(limit, 0))
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
        # The schema has no such reasons: what was imported or merged is a snapshot of a session of that form.
        reason=row["form"] if row["form"] in (IMPORTED, MERGED) else row["reason"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        nodes=row["nodes"],
        stored_bytes=row["stored_bytes"],
        pid=row["pid"],
        labels=labels.decoded(row["session_labels"], row["labels"]),
        running=bool(row["running"]),
    )


def _time(seconds: float) -> float:
    if not math.isfinite(seconds):
        raise ProfileCorrupt(f"a profile cannot start or end at {seconds}")
    return seconds
