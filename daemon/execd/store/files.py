"""The files of profiles: written so that a crash leaves a whole file or one that no row speaks of."""

from __future__ import annotations

import os
import secrets
import zlib
from typing import TYPE_CHECKING

from execd.errors import NotFound, ProfileCorrupt
from execd.store.directory import sync_directory

if TYPE_CHECKING:
    from pathlib import Path


def file_name(number: int) -> str:
    """Return the name of the file of profile `number`."""
    return f"p{number}.profile"


def stage(directory: Path, data: bytes) -> Path:
    """Write bytes durably to a new temporary file; after an error there is none."""
    path = directory / f"{secrets.token_hex(8)}.tmp"
    try:
        write_new(path, data)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def publish(staged: Path, path: Path) -> None:
    """Give a staged file its lasting name, durably."""
    staged.rename(path)
    sync_directory(path.parent)


def remove(directory: Path, numbers: list[int]) -> None:
    """Remove the files of profiles, durably; one that is gone already is no error."""
    for number in numbers:
        (directory / file_name(number)).unlink(missing_ok=True)
    if numbers:
        sync_directory(directory)


def read_checked(path: Path, stored_bytes: int, crc32: int) -> bytes:
    """Return the bytes of a profile's file.

    Raises:
        NotFound: there is no such file.
        ProfileCorrupt: they are not the bytes that were stored.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"the file {path} is gone", path=path) from error
    if len(data) != stored_bytes or zlib.crc32(data) != crc32:
        raise ProfileCorrupt(
            f"the file {path} does not hold what was stored",
            remedy="restart execd: it checks the store after a crash and moves damaged files to quarantine",
            path=path,
        )
    return data


def write_new(path: Path, data: bytes) -> None:
    """Write bytes durably to a file that must not exist yet, mode 0600."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb", buffering=0) as file:  # noqa: PTH123 - Path.open takes no mode for the new file
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(fd)
