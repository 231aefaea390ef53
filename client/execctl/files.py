"""Files that the user asked for: whole or not there, never half."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from execctl.errors import ClientError
from execctl.exits import ExitCode


def save(file: str, data: bytes) -> None:
    """Write a file under a temporary name and rename it; what was there stays until then.

    Something that is no regular file (a FIFO, /dev/null) is written in place: a rename would replace it.

    Raises:
        ClientError: the file cannot be written.
    """
    # The file behind a symlink is replaced, not the symlink.
    path = Path(os.path.realpath(file))
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            _replace(path, data)
    except OSError as error:
        raise ClientError(
            f"cannot write {file}: {error.strerror}",
            kind="cannot_write",
            exit_code=ExitCode.USAGE,
            remedy="choose another file with -o",
            facts={"file": file},
        ) from error


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o7777)
        temporary.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
