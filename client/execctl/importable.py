"""Files that the daemon is to import, as it takes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from execctl.errors import UsageError

if TYPE_CHECKING:
    from typing import IO

# What the daemon takes; one that is larger is not read to its end.
MOST_BYTES = 64 << 20


def content(file: str) -> bytes:
    """Return what a file holds, by its path.

    Raises:
        UsageError: it cannot be read, or is too long.
    """
    try:
        with Path(file).open("rb") as stream:
            return read(stream, file)
    except (OSError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        # A name with a null byte is a ValueError.
        why = error.strerror if isinstance(error, OSError) else str(error)
        remedy = "name a file that is there, and that this user may read"
        raise UsageError(f"cannot read {file}: {why}", remedy=remedy, facts={"file": file}) from error


def read(stream: IO[bytes], file: str) -> bytes:
    """Return what a file holds.

    Args:
        stream: of the file.
        file: its name, for a message.

    Raises:
        UsageError: it is too long.
        OSError: it cannot be read.
    """
    data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UsageError(
            f"{file} has over {MOST_BYTES} bytes (64 MiB), and a file to import may have no more",
            remedy="record for a shorter time, or with fewer frames",
            facts={"file": file},
        )
    return data


def name_of(file: str) -> str:
    """Return a file's name as a message takes it: its bytes may be no UTF-8, and a message holds nothing else."""
    return os.fsencode(file).decode("utf-8", "backslashreplace")
