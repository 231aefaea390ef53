"""Sessions and their targets as rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.model.session import ENDED, Session, SessionSpec, State
from execd.model.target import Target, TargetKey
from execd.store import labels
from execd.store.database import insert
from execd.store.identifiers import GROUP, PROFILE, SESSION, not_found, number_of, spell, taken

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

INTERRUPTED_REASON = "the daemon ended without stopping it"

_SELECT = f"""
    SELECT sessions.id, name, group_id, collector, options, form, state, started_at, ended_at, reason,
           caveats, boot_id, pid, start_ticks, uid, command_line, executable, python_version, in_other_root,
           into_name, children,
           {labels.OF_SESSION} AS labels,
           (SELECT max(profiles.id) FROM profiles WHERE profiles.session = sessions.id) AS latest_profile
      FROM sessions JOIN targets ON targets.id = sessions.target
"""  # noqa: S608 - constants
_ENDED_STATES = ", ".join(f"'{state.value}'" for state in sorted(ENDED, key=lambda state: state.value))
STILL_RUNNING = f"state NOT IN ({_ENDED_STATES})"


def add_group(connection: sqlite3.Connection) -> str:
    """Insert a group and return its id."""
    return spell(GROUP, insert(connection, "INSERT INTO session_groups DEFAULT VALUES"))


def add_session(
    connection: sqlite3.Connection,
    target: Target,
    spec: SessionSpec,
    *,
    name: str,
    group: str,
    started_at: float,
) -> Session:
    """Insert a session that starts now and return it with its id; its name must be free."""
    check_free(connection, name)
    values = (
        name,
        _group_number(connection, group),
        _target_number(connection, target),
        spec.collector,
        _json(dict(spec.options)),
        State.STARTING.value,
        started_at,
        spec.into,
        spec.children,
    )
    number = insert(
        connection,
        "INSERT INTO sessions (name, group_id, target, collector, options, state, started_at,"
        " into_name, children, form, ended_at, reason, caveats)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '', 0.0, '\"\"', '[]')",
        values,
    )
    labels.put(connection, SESSION, number, spec.labels)
    return find_session(connection, spell(SESSION, number))


def save_session(connection: sqlite3.Connection, session: Session) -> None:
    """Replace what a session says of itself, but for its latest profile, its labels and what it is added to."""
    values = {
        "id": number_of(SESSION, session.id),
        "name": session.name,
        "group": _group_number(connection, session.group),
        "target": _target_number(connection, session.target),
        "collector": session.spec.collector,
        "options": _json(dict(session.spec.options)),
        "form": session.form,
        "state": session.state.value,
        "started_at": session.started_at,
        "ended_at": session.ended_at,
        "reason": _json(session.reason),
        "caveats": _json(session.caveats),
    }
    done = connection.execute(
        "UPDATE sessions SET name = :name, group_id = :group, target = :target, collector = :collector,"
        " options = :options, form = :form, state = :state, started_at = :started_at, ended_at = :ended_at,"
        " reason = :reason, caveats = :caveats WHERE id = :id",
        values,
    )
    if done.rowcount != 1:
        raise not_found(SESSION, session.id)


def remove_session(connection: sqlite3.Connection, identifier: str) -> None:
    """Delete a session that has no profile, and its target where no other session is of that."""
    number = number_of(SESSION, identifier)
    row = connection.execute("SELECT target FROM sessions WHERE id = ?", (number,)).fetchone()
    if row is None:
        raise not_found(SESSION, identifier)
    connection.execute("DELETE FROM sessions WHERE id = ?", (number,))
    connection.execute(
        "DELETE FROM targets WHERE id = :id AND NOT EXISTS (SELECT 1 FROM sessions WHERE target = :id)",
        {"id": row["target"]},
    )


def rename_session(connection: sqlite3.Connection, reference: str, name: str) -> str:
    """Give a session that has ended another name, and return its id.

    Raises:
        UsageError: it goes on, or one that goes on has the name.
    """
    session = find_session(connection, reference)
    if not session.ended:
        raise UsageError(f"session {session.id} goes on", remedy="rename it when it has ended", session=session.id)
    check_free(connection, name)
    connection.execute("UPDATE sessions SET name = ? WHERE id = ?", (name, number_of(SESSION, session.id)))
    return session.id


def find_session(connection: sqlite3.Connection, reference: str) -> Session:
    """Return the session of an id, or the newest of a name."""
    number = number_of(SESSION, reference)
    where = "name = ?" if number is None else "sessions.id = ?"
    rows = connection.execute(
        f"{_SELECT} WHERE {where} ORDER BY sessions.id DESC", (reference if number is None else number,)
    ).fetchall()
    if not rows:
        raise not_found(SESSION, reference)
    return _session(rows[0])


def check_free(connection: sqlite3.Connection, name: str) -> None:
    """Raise where a session that goes on has a name; the name of one that ended is free again.

    Raises:
        UsageError: it has.
    """
    row = connection.execute(
        f"SELECT id FROM sessions WHERE name = ? AND name <> '' AND {STILL_RUNNING}",  # noqa: S608 - constants
        (name,),
    ).fetchone()
    if row is not None:
        raise taken(SESSION, name, row["id"], "which goes on")


def list_sessions(
    connection: sqlite3.Connection, *, running_only: bool, limit: int, wanted: Mapping[str, str]
) -> list[Session]:
    """Return the newest sessions that have all wanted labels, newest first."""
    where, values = labels.condition(SESSION, wanted)
    running = f" AND {STILL_RUNNING}" if running_only else ""
    rows = connection.execute(
        f"{_SELECT} WHERE {where}{running} ORDER BY sessions.id DESC LIMIT ?", (*values, max(limit, 0))
    )
    return [_session(row) for row in rows]


def of_group(connection: sqlite3.Connection, group: str) -> list[Session]:
    """Return the sessions of a group, oldest first."""
    rows = connection.execute(f"{_SELECT} WHERE group_id = ? ORDER BY sessions.id", (_group_number(connection, group),))
    return [_session(row) for row in rows]


def interrupt_running(connection: sqlite3.Connection) -> tuple[str, ...]:
    """End the sessions that an earlier daemon left running, at the end of what was stored of them."""
    rows = connection.execute(f"SELECT id FROM sessions WHERE {STILL_RUNNING}").fetchall()  # noqa: S608 - constants
    connection.execute(
        "UPDATE sessions SET state = ?, reason = ?, ended_at = coalesce("  # noqa: S608 - constants
        "(SELECT max(profiles.ended_at) FROM profiles WHERE profiles.session = sessions.id), started_at)"
        f" WHERE {STILL_RUNNING}",
        (State.INTERRUPTED.value, _json(INTERRUPTED_REASON)),
    )
    return tuple(spell(SESSION, row["id"]) for row in rows)


def _session(row: sqlite3.Row) -> Session:
    latest = row["latest_profile"]
    return Session(
        id=spell(SESSION, row["id"]),
        name=row["name"],
        group=spell(GROUP, row["group_id"]),
        target=_target(row),
        spec=SessionSpec(
            collector=row["collector"],
            options=json.loads(row["options"]),
            labels=labels.decoded(row["labels"]),
            into=row["into_name"],
            children=bool(row["children"]),
        ),
        form=row["form"],
        state=State(row["state"]),
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        reason=json.loads(row["reason"]),
        caveats=tuple(json.loads(row["caveats"])),
        latest_profile="" if latest is None else spell(PROFILE, latest),
    )


def _target(row: sqlite3.Row) -> Target:
    return Target(
        key=TargetKey(boot_id=row["boot_id"], pid=row["pid"], start_ticks=row["start_ticks"]),
        uid=row["uid"],
        command_line=tuple(json.loads(row["command_line"])),
        executable=json.loads(row["executable"]),
        python_version=json.loads(row["python_version"]),
        in_other_root=bool(row["in_other_root"]),
    )


def _group_number(connection: sqlite3.Connection, group: str) -> int:
    number = number_of(GROUP, group)
    row = connection.execute("SELECT id FROM session_groups WHERE id = ?", (number,)).fetchone()
    if row is None:
        raise not_found(GROUP, group)
    return int(row["id"])


def _target_number(connection: sqlite3.Connection, target: Target) -> int:
    values = (
        target.key.boot_id,
        target.key.pid,
        target.key.start_ticks,
        target.uid,
        _json(target.command_line),
        _json(target.executable),
        _json(target.python_version),
        target.in_other_root,
    )
    connection.execute(
        "INSERT OR IGNORE INTO targets (boot_id, pid, start_ticks, uid, command_line, executable,"
        " python_version, in_other_root) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        values,
    )
    row = connection.execute(
        "SELECT id FROM targets WHERE boot_id = ? AND pid = ? AND start_ticks = ? AND uid = ?"
        " AND command_line = ? AND executable = ? AND python_version = ? AND in_other_root = ?",
        values,
    ).fetchone()
    return int(row["id"])


def _json(value: object) -> str:
    # ensure_ascii is json's default; it is spelt out because lone surrogates survive through it alone.
    return json.dumps(value, ensure_ascii=True)
