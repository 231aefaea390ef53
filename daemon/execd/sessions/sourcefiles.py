"""Reading a source file as the target sees it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from execd.attach import rootfs
from execd.errors import ExecdError

# What the store keeps of one file.
MAX_BYTES = 16 << 20


class Unreadable(ExecdError):
    """A file that is not there, or is none that can be kept; the message says which."""

    kind = "not_found"
    exit_code = 9


def read_source(pid: int, path: str) -> bytes:
    """Return the bytes of a file.

    Args:
        pid: the target.
        path: co_filename; a relative one is meant from where the target is now.

    Raises:
        Unreadable: there is no such file, or it is too large, or it lies in an archive.
        TargetGone, NotPermitted, NotSupported: the target's file system cannot be reached.
    """
    if "\0" in path:
        raise Unreadable("has a name that no file has")
    try:
        descriptor = rootfs.open_in_root(pid, path if path.startswith("/") else f"{working_directory(pid)}/{path}")
    except UnicodeEncodeError:
        raise Unreadable("has a name that no file has") from None
    except OSError as error:
        raise _unreadable(error) from None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        size = os.fstat(file.fileno()).st_size
        # It may be longer by now than it says, and /proc's say 0.
        data = file.read(MAX_BYTES + 1) if size <= MAX_BYTES else b""
    if size > MAX_BYTES or len(data) > MAX_BYTES:
        raise Unreadable(f"has {max(size, len(data)) >> 20} MiB, and at most {MAX_BYTES >> 20} are kept")
    return data


def working_directory(pid: int) -> str:
    """Return where a target is, as it names it. Raises OSError where that cannot be seen."""
    root, here = (str(Path(f"/proc/{pid}/{name}").readlink()) for name in ("root", "cwd"))
    return here.removeprefix(root) if root != "/" and here.startswith(f"{root}/") else here


def _unreadable(error: OSError) -> Unreadable:
    if error.errno == errno.ENOTDIR:
        return Unreadable("lies in an archive, or below what is no folder: its text is not read")
    reason = error.strerror if error.strerror is not None else "it cannot be opened"
    return Unreadable(f"could not be read: {reason}")
