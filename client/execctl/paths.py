"""Where the daemon's socket lies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from execctl.errors import SocketPathTooLong

if TYPE_CHECKING:
    from collections.abc import Mapping

# sun_path in sys/un.h has 108 bytes, one of them for the closing zero.
MAX_SOCKET_PATH_BYTES = 107


def socket_path(given: str | None, environment: Mapping[str, str]) -> Path:
    """Return the absolute path of the daemon's socket.

    Args:
        given: what --socket or EXECD_SOCKET says; None or "" for the default place of this user.
        environment: os.environ.

    Raises:
        SocketPathTooLong: the path is longer than a unix socket's may be.
    """
    path = Path.cwd() / given if given else _default(environment)
    size = len(os.fsencode(path))
    if size > MAX_SOCKET_PATH_BYTES:
        raise SocketPathTooLong(
            f"the socket's path is {size} bytes long, and {MAX_SOCKET_PATH_BYTES} is the limit: {path}",
            remedy="choose a shorter one with --socket or EXECD_SOCKET",
            facts={"path": str(path), "bytes": str(size)},
        )
    return path


def _default(environment: Mapping[str, str]) -> Path:
    runtime = Path(environment.get("XDG_RUNTIME_DIR", ""))
    # The XDG base directory specification: a relative path in it is to be ignored.
    if runtime.is_absolute():
        return runtime / "execd" / "execd.sock"
    return Path(environment.get("HOME") or Path.home()) / ".local" / "state" / "execd" / "run" / "execd.sock"
