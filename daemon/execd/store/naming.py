"""What users call sessions and profiles after the fact: other names, and labels, by whatever they are called by now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.errors import NotFound
from execd.store import labels
from execd.store.identifiers import PROFILE, SESSION, number_of, spell
from execd.store.profiles import find_profile, rename_profile
from execd.store.sessions import find_session, rename_session

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping


def rename(connection: sqlite3.Connection, reference: str, name: str) -> str:
    """Rename the session of an id, or the profile of an id or name, and return its id."""
    if reference.startswith(SESSION) and number_of(SESSION, reference) is not None:
        return rename_session(connection, reference, name)
    return rename_profile(connection, reference, name)


def label(
    connection: sqlite3.Connection, reference: str, put: Mapping[str, str], remove: Iterable[str]
) -> tuple[str, dict[str, str]]:
    """Change the labels of a session or profile, by id or name; return its id and its own labels."""
    kind, identifier = _found(connection, reference)
    number = int(identifier.removeprefix(kind))
    labels.remove(connection, kind, number, remove)
    labels.put(connection, kind, number, put)
    return spell(kind, number), labels.own(connection, kind, number)


def _found(connection: sqlite3.Connection, reference: str) -> tuple[str, str]:
    """Return the kind and the id of a session or profile."""
    try:
        return SESSION, find_session(connection, reference).id
    except NotFound:
        return PROFILE, find_profile(connection, reference).id
