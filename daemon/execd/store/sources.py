"""Source files, kept by what is in them: a listing stays right after the program's files have changed."""

from __future__ import annotations

import hashlib
import os
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

from execd.store.files import publish, stage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# A file that inflates to more than was ever stored is damage.
MAX_SOURCE_BYTES = 16 << 20
# What `stage` names so has no lasting name: one that is older was left by a crash, a younger one is being written.
_UNFINISHED = ".tmp"
_UNFINISHED_S = 3600.0


def digest_of(text: bytes) -> str:
    """Return the name by which a text is kept: its SHA-256 in hexadecimal digits."""
    return hashlib.sha256(text).hexdigest()


def keep(directory: Path, text: bytes) -> str:
    """Keep a text, durably, and return its digest; one that is kept already counts as kept now."""
    digest = digest_of(text)
    try:
        os.utime(directory / digest)
    except FileNotFoundError:
        publish(stage(directory, zlib.compress(text)), directory, digest)
    return digest


def touch(directory: Path, digests: Iterable[str]) -> None:
    """Count texts as kept now; one that is gone is no error."""
    for digest in digests:
        with suppress(FileNotFoundError):
            os.utime(directory / digest)


def read(directory: Path, digest: str) -> bytes | None:
    """Return a text by its digest, None where it is gone or damaged."""
    try:
        stream = zlib.decompressobj()
        text = stream.decompress((directory / digest).read_bytes(), MAX_SOURCE_BYTES)
    except (FileNotFoundError, zlib.error):
        return None
    return text if digest_of(text) == digest else None


def expire(directory: Path, oldest: float) -> None:
    """Remove what was kept last before `oldest`, seconds since the epoch: no profile that uses it is younger."""
    abandoned = min(oldest, time.time() - _UNFINISHED_S)
    for path in directory.iterdir():
        # Another may remove it, or give it its name, meanwhile.
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < (abandoned if path.suffix == _UNFINISHED else oldest):
                path.unlink()
