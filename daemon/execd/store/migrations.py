"""Bringing a database of an older execd up to date, in order and in one transaction a step."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from execd.errors import StoreTooNew

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Migration:
    """The step from the version before to `to_version`: statements without a transaction of their own."""

    to_version: int
    sql: str


@dataclass(frozen=True, slots=True)
class Schema:
    """What a database is to look like.

    Attributes:
        version: the PRAGMA user_version that `sql` ends with.
        sql: makes an empty database into one of that version.
        migrations: the steps from version 1 to it, in order and without gap.
    """

    version: int
    sql: str
    migrations: Sequence[Migration]


_LABELS = Migration(
    2,
    """
    ALTER TABLE sessions ADD COLUMN into_name TEXT NOT NULL DEFAULT '';
    CREATE TABLE session_labels (
        session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
        key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (session, key)
    ) WITHOUT ROWID;
    CREATE TABLE profile_labels (
        profile INTEGER NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
        key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (profile, key)
    ) WITHOUT ROWID
    """,
)
_CHILDREN = Migration(
    3,
    """
    ALTER TABLE sessions ADD COLUMN children INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX sessions_group ON sessions (group_id)
    """,
)


def current_schema() -> Schema:
    """Return the schema of this execd; a change of schema.sql adds its step to the table here."""
    sql = resources.files("execd.store").joinpath("schema.sql").read_text(encoding="utf-8")
    return Schema(version=3, sql=sql, migrations=(_LABELS, _CHILDREN))


def bring_up_to_date(connection: sqlite3.Connection, schema: Schema) -> None:
    """Make or migrate the tables; after a failure the database is as it was after the last whole step.

    Raises:
        StoreTooNew: a newer execd wrote it; nothing was touched.
    """
    found = version_of(connection)
    if found > schema.version:
        raise StoreTooNew(
            f"the data directory has version {found} and this execd knows up to {schema.version}",
            remedy="start the execd that wrote it, or give this one a directory of its own with --data-dir",
            found=found,
            known=schema.version,
        )
    if found == 0:
        _run(connection, schema.sql)
    for step in schema.migrations:
        if step.to_version > version_of(connection):
            _run(connection, f"{step.sql};\nPRAGMA user_version = {step.to_version};")


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version that the database says it has, 0 for an empty one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _run(connection: sqlite3.Connection, sql: str) -> None:
    # user_version is part of the transaction: the tables and the number change together.
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\nCOMMIT;")
    except BaseException:
        if connection.in_transaction:
            connection.rollback()
        raise
