"""The connection to execd.db and its transactions."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from execd.store.full import disk_may_be_full
from execd.store.migrations import bring_up_to_date

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from execd.store.migrations import Schema

# Nobody else writes (the directory is claimed), but a person may look in with the sqlite3 shell.
_BUSY_TIMEOUT_S = 5.0
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class DatabaseDamaged(Exception):
    """The file is no sound database; internal to the store, which then moves it to quarantine."""


class Database:
    """One connection, shared by all threads under one lock, from `open` to `close`.

    One, not one a thread: SQLite has a single writer anyway, every statement here takes microseconds beside
    the fsync of its commit, and the threads of a gRPC pool end without telling anybody, so that connections
    of theirs would stay open. The bulk of the data, the profiles, is read and written outside of the lock.

    The connection must not be carried over a fork: closed in a child, it would remove the parent's WAL.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path, schema: Schema, *, check: bool) -> Self:
        """Open or make the database and bring its tables up to date.

        Args:
            path: of the file.
            schema: what it is to look like.
            check: read the whole database and verify it first.

        Raises:
            DatabaseDamaged: it is no database, or not a sound one.
            StoreTooNew: a newer execd wrote it.
        """
        # SQLite gives its WAL the mode of the database, so this one line makes all of them private.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, schema, check=check)
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) in _DAMAGED:
                raise DatabaseDamaged(str(error)) from error
            raise
        return cls(path, connection)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Run a block as one transaction, on disk when the block is left, undone when it raises.

        Raises:
            StoreFull: the disk takes no more; nothing of the transaction stays.
        """
        with self._lock, disk_may_be_full(self._path.parent):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite itself undoes a transaction that met a full disk.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Let a block read, between the transactions of others."""
        with self._lock, disk_may_be_full(self._path.parent):
            yield self._connection

    def close(self) -> None:
        """Fold the WAL into the database and close it; later calls fail."""
        with self._lock:
            self._connection.close()


def insert(connection: sqlite3.Connection, sql: str, values: tuple[object, ...] = ()) -> int:
    """Run an INSERT of one row and return its number."""
    number = connection.execute(sql, values).lastrowid
    if number is None:
        raise AssertionError("an INSERT of one row has an id")
    return number


def _prepare(connection: sqlite3.Connection, schema: Schema, *, check: bool) -> None:
    connection.row_factory = sqlite3.Row
    if check:
        _check_integrity(connection)
    bring_up_to_date(connection, schema)
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: a commit that was acknowledged survives a power loss; NORMAL would lose the last ones in WAL mode.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # KiB; the usual 2 MiB fill in the course of some thousand sessions, and a row is looked up a few times.
    connection.execute("PRAGMA cache_size = -512")


def _check_integrity(connection: sqlite3.Connection) -> None:
    found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise DatabaseDamaged(found)
