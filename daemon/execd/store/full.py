"""Telling a disk that takes no more, or cannot be reached, from every other error; and asking it before it is full."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from execd.errors import StoreFull, StoreUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# EFBIG is RLIMIT_FSIZE (CPython ignores SIGXFSZ); EROFS is what a file system becomes after disk errors.
_REFUSED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS})
# The directory was moved or closed to us under our hands, or there is no descriptor left to open it with.
_UNUSABLE = frozenset(
    {errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EMFILE, errno.ENFILE, errno.ESTALE}
)
_REFUSED_BY_SQLITE = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY})
_UNUSABLE_BY_SQLITE = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM})
_PRIMARY_CODE = 0xFF  # SQLite's extended codes carry the primary one in their low byte


@contextmanager
def disk_may_be_full(directory: Path) -> Iterator[None]:
    """Turn the errors of a disk that takes no more, or is out of reach, into StoreFull; others pass.

    Args:
        directory: the data directory, for the message.

    Raises:
        StoreFull: writing below the directory failed for lack of space, quota or a working disk.
        StoreUnusable: it is not there, or not ours to write to.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _UNUSABLE:
            raise _unusable(directory, error.strerror or "") from error
        if error.errno not in _REFUSED:
            raise
        raise _store_full(directory, error.strerror or "") from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
        if code in _UNUSABLE_BY_SQLITE:
            raise _unusable(directory, str(error)) from error
        if code not in _REFUSED_BY_SQLITE:
            raise
        raise _store_full(directory, str(error)) from error


def check_free_bytes(directory: Path, needed_bytes: int, reserve_bytes: int) -> None:
    """Raise StoreFull where writing `needed_bytes` would leave less than `reserve_bytes` free."""
    disk = os.statvfs(directory)
    free_bytes = disk.f_bavail * disk.f_frsize
    if free_bytes < needed_bytes + reserve_bytes:
        why = f"{free_bytes} bytes are free, {needed_bytes} are needed and {reserve_bytes} stay reserved"
        raise _store_full(directory, why)


def _store_full(directory: Path, why: str) -> StoreFull:
    return StoreFull(
        f"the disk of {directory} takes no more: {why}",
        remedy="free space there, or start execd with --data-dir on another disk",
        directory=directory,
        why=why,
    )


def _unusable(directory: Path, why: str) -> StoreUnusable:
    return StoreUnusable(
        f"nothing can be stored below {directory}: {why}",
        remedy="see that it is there and that this user may write to it",
        directory=directory,
        why=why,
    )
