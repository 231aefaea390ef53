"""The files of profiles: written so that a crash leaves a whole file or one that no row speaks of.

Their paths are strings: pathlib interns each part of a path that it reads, and CPython 3.12 keeps what is interned for
ever, of each profile its names.
"""

from __future__ import annotations

import os
import secrets
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

from execd.errors import NotFound, ProfileCorrupt
from execd.store.directory import sync_directory

if TYPE_CHECKING:
    from pathlib import Path


def file_name(number: int) -> str:
    """Return the name of the file of profile `number`."""
    return f"p{number}.profile"


def path_of(directory: Path, name: str) -> str:
    """Return the path of a file in a directory, as a string: see above."""
    return f"{directory}/{name}"


def stage(directory: Path, data: bytes) -> str:
    """Write bytes durably to a new temporary file, and return its path; after an error there is none."""
    path = path_of(directory, f"{secrets.token_hex(8)}.tmp")
    try:
        write_new(path, data)
    except BaseException:
        discard(path)
        raise
    return path


def publish(staged: str, directory: Path, name: str) -> None:
    """Give a staged file its lasting name in its directory, durably."""
    os.rename(staged, path_of(directory, name))
    sync_directory(directory)


def discard(path: str) -> None:
    """Remove a file; one that is gone already is no error."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def remove(directory: Path, numbers: list[int]) -> None:
    """Remove the files of profiles, durably; one that is gone already is no error."""
    for number in numbers:
        discard(path_of(directory, file_name(number)))
    if numbers:
        sync_directory(directory)


def read_checked(path: str, stored_bytes: int, crc32: int) -> bytes:
    """Return the bytes of a profile's file.

    Raises:
        NotFound: there is no such file.
        ProfileCorrupt: they are not the bytes that were stored.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError as error:
        raise NotFound(f"the file {path} is gone", path=path) from error
    if len(data) != stored_bytes or zlib.crc32(data) != crc32:
        raise ProfileCorrupt(
            f"the file {path} does not hold what was stored",
            remedy="restart execd: it checks the store after a crash and moves damaged files to quarantine",
            path=path,
        )
    return data


def write_new(path: str | Path, data: bytes) -> None:
    """Write bytes durably to a file that must not exist yet, mode 0600."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb", buffering=0) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(fd)
