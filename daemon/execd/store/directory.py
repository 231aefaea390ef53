"""The data directory: private to its user, and held by one daemon at a time."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Self

from execd.errors import AlreadyRunning, UnsafeDirectory

if TYPE_CHECKING:
    from pathlib import Path

_OPEN_TO_OTHERS = 0o077


class DataDirectory:
    """A data directory, claimed from `claim` to `release`.

    The claim is a flock: it ends with the process however that ends, and a stale lock file claims nothing.
    """

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self.database = path / "execd.db"
        self.profiles = path / "profiles"
        self.sources = path / "sources"
        self.quarantine = path / "quarantine"
        self._lock_fd = lock_fd

    @classmethod
    def claim(cls, path: Path) -> Self:
        """Make the directory private and ours.

        Raises:
            UnsafeDirectory: it belongs to another user, or others may enter it.
            AlreadyRunning: another process holds it.
        """
        make_private(path)
        claimed = cls(path, _lock(path))
        try:
            make_private(claimed.profiles)
            make_private(claimed.sources)
            make_private(claimed.quarantine)
        except BaseException:
            claimed.release()
            raise
        return claimed

    def release(self) -> None:
        """Let others claim it; the lock file stays, since removing it would race with a claim."""
        fcntl.flock(self._lock_fd, fcntl.LOCK_UN)
        os.close(self._lock_fd)


def make_private(path: Path) -> None:
    """Create a directory with mode 0700, or accept one that is already private.

    Raises:
        UnsafeDirectory: it is not a directory, belongs to another user, or others may enter it.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise _unsafe(path, f"cannot be used: {error.strerror}", "name another directory") from error
    try:
        found = os.fstat(fd)
    finally:
        os.close(fd)
    if found.st_uid != os.geteuid():
        raise _unsafe(path, f"belongs to user {found.st_uid}", "name a directory of your own")
    if found.st_mode & _OPEN_TO_OTHERS:
        mode = found.st_mode & 0o777
        raise _unsafe(
            path,
            f"is open to others (mode {mode:04o})",
            f"name a directory of your own, or, if nobody else needs it, chmod 700 {path}",
        )


def sync_directory(path: Path) -> None:
    """Make created, renamed and removed entries of a directory survive a power loss."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _unsafe(path: Path, what: str, remedy: str) -> UnsafeDirectory:
    return UnsafeDirectory(f"the directory {path} {what}", remedy=remedy, directory=path)


def _lock(path: Path) -> int:
    fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    except BlockingIOError:
        holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
        os.close(fd)
        raise AlreadyRunning(
            f"the process {holder} already uses the data directory {path}",
            remedy="use that daemon, stop it, or name another directory with --data-dir",
            pid=holder,
            directory=path,
        ) from None
    except BaseException:
        os.close(fd)
        raise
    return fd
