"""Labels of sessions and profiles as rows: keys with values that users choose."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.store.identifiers import PROFILE, SESSION

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

_TABLES = {SESSION: ("session_labels", "session"), PROFILE: ("profile_labels", "profile")}
_MAX_KEY, _MAX_VALUE = 100, 200
_MOST = 64
# Expressions for a query that has the tables sessions and profiles.
OF_SESSION = "(SELECT json_group_object(key, value) FROM session_labels WHERE session = sessions.id)"
OF_PROFILE = "(SELECT json_group_object(key, value) FROM profile_labels WHERE profile = profiles.id)"
_VALUE_OF_SESSION = "(SELECT value FROM session_labels WHERE session = sessions.id AND key = ?)"
_VALUE_OF_PROFILE = (
    f"coalesce((SELECT value FROM profile_labels WHERE profile = profiles.id AND key = ?), {_VALUE_OF_SESSION})"  # noqa: S608 - constants
)


def check_labels(labels: Mapping[str, str]) -> None:
    """Raise UsageError for a label that cannot be written as KEY=VALUE, or would disturb a terminal."""
    for key, value in labels.items():
        if problem := _problem(key, value):
            raise UsageError(f"the label {f'{key}={value}'[:_MAX_KEY]!r} {problem}", remedy="write it as KEY=VALUE")


def put(connection: sqlite3.Connection, kind: str, number: int, labels: Mapping[str, str]) -> None:
    """Give a row labels; one that it has gets the new value.

    Raises:
        UsageError: these would be more than a row may have.
    """
    table, column = _TABLES[kind]
    connection.executemany(
        f"INSERT OR REPLACE INTO {table} ({column}, key, value) VALUES (?, ?, ?)",  # noqa: S608 - constants
        [(number, key, value) for key, value in labels.items()],
    )
    if len(own(connection, kind, number)) > _MOST:
        raise UsageError(f"there may be {_MOST} labels", remedy="take some off: --unlabel KEY")


def remove(connection: sqlite3.Connection, kind: str, number: int, keys: Iterable[str]) -> None:
    """Take labels off a row."""
    table, column = _TABLES[kind]
    connection.executemany(
        f"DELETE FROM {table} WHERE {column} = ? AND key = ?",  # noqa: S608 - constants
        [(number, key) for key in keys],
    )


def own(connection: sqlite3.Connection, kind: str, number: int) -> dict[str, str]:
    """Return the labels of a row, by key."""
    table, column = _TABLES[kind]
    rows = connection.execute(
        f"SELECT key, value FROM {table} WHERE {column} = ? ORDER BY key",  # noqa: S608 - constants
        (number,),
    )
    return {row["key"]: row["value"] for row in rows}


def decoded(*columns: str | None) -> dict[str, str]:
    """Return labels out of OF_SESSION and the like, by key in their order; later columns come first."""
    found: dict[str, str] = {}
    for column in columns:
        found |= json.loads(column or "{}")
    return dict(sorted(found.items()))


def condition(kind: str, labels: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return what a query has after WHERE for rows with all of these labels, and its values."""
    value, keys = (_VALUE_OF_SESSION, 1) if kind == SESSION else (_VALUE_OF_PROFILE, 2)
    terms = [f"{value} = ?" for _ in labels]
    return " AND ".join(terms) or "1", [one for key, wanted in labels.items() for one in [*[key] * keys, wanted]]


def _problem(key: str, value: str) -> str:
    if not key or len(key) > _MAX_KEY or len(value) > _MAX_VALUE:
        return f"has no key, one of more than {_MAX_KEY} characters, or a value of more than {_MAX_VALUE}"
    if not (key + value).isprintable():
        return "contains characters that cannot be printed"
    if "=" in key or any(one != one.strip() for one in (key, value)):
        return "has an equals sign in its key, or blanks around key or value"
    return ""
