"""Files that the user asked for: whole or not there, never half, and nowhere but where the user said."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from execctl.errors import CannotWrite

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LISTING = ".cover"
_SOURCE = ".py"
# Each directory on the way is open while a file is written.
_DEEPEST = 100


def save(file: str, data: bytes) -> None:
    """Write a file under a temporary name and rename it; what was there stays until then.

    Something that is no regular file (a FIFO, /dev/null) is written in place: a rename would replace it.

    Raises:
        CannotWrite: the file cannot be written.
    """
    if "\0" in file:
        raise _cannot_write(file, "a name has no null byte", "choose another file with -o")
    # The file behind a symlink is replaced, not the symlink.
    path = Path(os.path.realpath(file))
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            with _opened(path.parent) as directory:
                _replace(directory, path.name, data)
    except OSError as error:
        raise _cannot_write(file, error.strerror, "choose another file with -o") from error


def save_below(directory: str, name: str, data: bytes) -> None:
    """Write a file below a directory, and make the directories on the way; no link below it is followed.

    Args:
        directory: as the user named it.
        name: where below it, as the daemon named it, which took it from a target.
        data: the content.

    Raises:
        CannotWrite: the name leads elsewhere, or the file cannot be written.
    """
    parts = name.split("/")
    if not name.isprintable() or len(parts) > _DEEPEST or any(part in ("", ".", "..") for part in parts):
        raise _refused(name, "it is no plain path below a directory")
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        with _opened(directory) as top:
            _save_at(top, parts, data)
    except OSError as error:
        remedy = "choose another directory with -C"
        raise _cannot_write(f"{name} below {directory}", error.strerror, remedy) from error


def save_beside(path: str, data: bytes) -> None:
    """Write a listing beside its source, in a directory of this user's own.

    Args:
        path: of the listing, absolute, as the daemon named it, which took it from a target.
        data: the content.

    Raises:
        CannotWrite: the path leads to no such place, or the file cannot be written.
    """
    place = Path(path)
    if not path.isprintable() or not place.is_absolute() or ".." in place.parts or place.suffix != _LISTING:
        raise _refused(path, "it is no listing's place beside a source")
    try:
        with _opened(place.parent) as directory:
            # A target may call its files whatever it likes: nothing is written where this user has no source.
            if os.fstat(directory).st_uid != os.geteuid():
                raise _refused(path, "the directory belongs to another user")
            source = os.stat(place.stem + _SOURCE, dir_fd=directory, follow_symlinks=False)
            if not stat.S_ISREG(source.st_mode):
                raise _refused(path, "there is no source beside it")
            _replace(directory, place.name, data)
    except OSError as error:
        raise _cannot_write(path, error.strerror, "name a directory with -C") from error


@contextmanager
def _opened(directory: str | Path, flags: int = 0, dir_fd: int | None = None) -> Iterator[int]:
    descriptor = os.open(directory, _DIRECTORY | flags, dir_fd=dir_fd)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _save_at(directory: int, parts: list[str], data: bytes) -> None:
    first, *rest = parts
    if not rest:
        _replace(directory, first, data)
        return
    with suppress(FileExistsError):
        os.mkdir(first, dir_fd=directory)
    with _opened(first, os.O_NOFOLLOW, directory) as below:
        _save_at(below, rest, data)


def _replace(directory: int, name: str, data: bytes) -> None:
    # Not made of the name: that may be as long as a name can be.
    temporary = f".execctl.{os.getpid()}.tmp"
    try:
        with os.fdopen(os.open(temporary, _NEW, 0o666, dir_fd=directory), "wb") as stream:
            stream.write(data)
            with suppress(FileNotFoundError):
                known = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if stat.S_ISREG(known.st_mode):
                    os.fchmod(stream.fileno(), stat.S_IMODE(known.st_mode))
        os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except FileExistsError:
        raise
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=directory)
        raise


def _cannot_write(what: str, why: str | None, remedy: str) -> CannotWrite:
    return CannotWrite(f"cannot write {what}: {why}", remedy=remedy, facts={"file": what})


def _refused(name: str, why: str) -> CannotWrite:
    return CannotWrite(
        f"the daemon's name for a file is refused, {why}: {name}",
        remedy="print the listing to standard output instead: --format cover",
        facts={"file": name},
    )
