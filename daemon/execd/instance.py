"""Instance: the claim of one daemon to its directories and its socket.

gRPC binds a unix path that another server serves on without a word, and takes its clients. So nothing is
bound before the lock of the path is held, and the path itself is tried, in case the lock file was removed.
The lock is an fcntl record lock, not flock: the kernel frees either at any death of the holder, but only a
record lock tells who holds it (F_GETLK) without being taken, for an instant, by everybody who asks.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from execd.errors import AlreadyRunning, UnsafeDirectory, UsageError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from execd.config import Config

# struct flock of 64-bit Linux: l_type, l_whence, padding, l_start, l_len, l_pid, padding.
FLOCK = struct.Struct("hhxxxxqqixxxx")
# struct ucred: pid, uid, gid.
UCRED = struct.Struct("iii")
GROUP_AND_OTHERS = 0o077


class Instance:
    """Holds a daemon's claim to its socket until it is closed."""

    def __init__(self, config: Config) -> None:
        """Claim the places, and clear away the socket of a daemon that died.

        Args:
            config: the places.

        Raises:
            AlreadyRunning: a daemon serves on the socket, or is about to.
            UnsafeDirectory: one of the directories is not private.
            UsageError: something that is no socket lies at the socket's path.
        """
        self._lock = config.socket_lock
        self._made: list[Path] = []
        while True:
            self._made += _missing(config.socket)
            check_directories(config)
            self._descriptor, is_new = _opened(self._lock)
            self._made[:0] = [self._lock] if is_new else []
            try:
                _claim(self._descriptor, config.socket)
            except BaseException:
                self.close()
                raise
            # Another start may have given its claim up meanwhile, and taken the file with it.
            if _is_at(self._descriptor, self._lock):
                return
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the claim up; the lock file stays for the next one."""
        os.close(self._descriptor)

    def withdraw(self) -> None:
        """Leave nothing at the socket's place that this claim has made: it came to nothing. It is to be closed yet."""
        for path in self._made:
            # What another one uses by now stays.
            with suppress(OSError):
                path.unlink() if path == self._lock else path.rmdir()


def _missing(socket_path: Path) -> list[Path]:
    """Return the directories on the way to a socket that are not there, the innermost first."""
    return [place for place in socket_path.parents if not os.path.lexists(place)]


def _opened(lock: Path) -> tuple[int, bool]:
    """Return a descriptor of a lock file, and whether it was made."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(lock, flags | os.O_EXCL, 0o600), True
    except FileExistsError:
        return os.open(lock, flags, 0o600), False


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether a path leads to the file of a descriptor."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def holder(lock: Path) -> int | None:
    """Return the PID of the process that holds a lock, or None.

    Not for the holder: the kernel frees a process's record locks when it closes any descriptor of the file.
    """
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return _lock_holder(descriptor)
    finally:
        os.close(descriptor)


def check_directories(config: Config) -> None:
    """Make the directories of a daemon for this user alone, or accept those that are.

    Raises:
        UnsafeDirectory: one belongs to another user, is open to others, or cannot be made.
    """
    # The data directory first: by default the socket's lies in it, and would make it with everybody's permissions.
    for path in (config.data_dir, config.socket.parent):
        _make_private(path)


def check_before_start(config: Config) -> None:
    """Do the same for a daemon that is to be started: it makes the socket's directory itself, and may fail before.

    Raises:
        UnsafeDirectory: as check_directories does.
    """
    _make_private(config.data_dir)
    if config.socket.parent.exists():
        _make_private(config.socket.parent)


def _make_private(path: Path) -> None:
    _refuse_links_of_others(path)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UnsafeDirectory(
            f"cannot make the directory {path}: {error.strerror}",
            remedy="choose another one with --socket or --data-dir",
            path=path,
        ) from error
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise UnsafeDirectory(
            f"the directory {path} belongs to user {status.st_uid}, execd runs as {os.geteuid()}",
            remedy="choose a directory of your own with --socket or --data-dir",
            path=path,
            uid=status.st_uid,
        )
    if status.st_mode & GROUP_AND_OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise UnsafeDirectory(
            f"the directory {path} is open to other users: mode {mode:04o}",
            remedy=f"choose one of your own with --socket or --data-dir, or, if nobody else needs it, chmod 700 {path}",
            path=path,
            mode=f"{mode:04o}",
        )


def _refuse_links_of_others(path: Path) -> None:
    """Raise UnsafeDirectory where another user's symbolic link leads there: he can lead it elsewhere at any time."""
    for place in (path, *path.parents):
        try:
            status = place.lstat()
        except OSError:
            continue  # it is made, or refused, with the directory
        if stat.S_ISLNK(status.st_mode) and status.st_uid not in {0, os.geteuid()}:
            raise UnsafeDirectory(
                f"the way to the directory {path} is a symbolic link of user {status.st_uid}: {place}",
                remedy="choose a directory of your own with --socket or --data-dir",
                path=path,
                uid=status.st_uid,
            )


def _claim(descriptor: int, path: Path) -> None:
    if (pid := _lock(descriptor)) or (pid := _listener(path)):
        raise AlreadyRunning(f"execd already runs: PID {pid}, socket {path}", pid=pid)
    _remove_stale_socket(path)


def _lock(descriptor: int) -> int | None:
    """Return None once the lock is held, or the PID of its holder."""
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            # Tried again where the holder ended in between.
            if pid := _lock_holder(descriptor):
                return pid
        else:
            return None


def _lock_holder(descriptor: int) -> int | None:
    question = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, question))
    if kind == fcntl.F_UNLCK:
        return None
    if pid <= 0:
        raise UsageError(
            "the execd that uses this directory runs in another PID namespace",
            remedy="call it from there, or choose other places with --socket and --data-dir",
        )
    return int(pid)


def _listener(path: Path) -> int | None:
    """Return the PID of the process that listens on a unix socket, or None."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ECONNREFUSED, errno.ENOTSOCK}:
                return None
            raise
        pid, _, _ = UCRED.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
        return int(pid)


def _remove_stale_socket(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise UsageError(
            f"there is something at the socket's path that is no socket: {path}",
            remedy="move it away, or choose another path with --socket",
            path=path,
        )
    path.unlink()
