"""A daemon that is there and answers nobody: which process that is, what became of it, and what to do."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from execctl import output

# struct ucred: pid, uid, gid.
UCRED = struct.Struct("iii")
STOPPED = "tT"


class Silence:
    """Tells of it, once a command.

    Args:
        path: of the daemon's socket.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._told = False

    def tell(self) -> None:
        """Say it."""
        if self._told:
            return
        self._told = True
        pid = listener(self._path)
        if pid is None:
            output.note(f"the daemon on {self._path} does not answer; `execd stop` ends it, Ctrl-C gives up")
        elif _is_stopped(pid):
            output.note(
                f"the daemon (PID {pid}) does not answer: it is stopped; `kill -CONT {pid}` lets it go on, "
                "`execd stop` ends it, Ctrl-C gives up"
            )
        else:
            output.note(f"the daemon (PID {pid}) does not answer; `execd stop` ends it, Ctrl-C gives up")


def listener(path: str) -> int | None:
    """Return the process that listens on a unix socket, None where that cannot be told: nobody, or out of sight."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except OSError:
            return None
        pid, _, _ = UCRED.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
        return int(pid) or None


def _is_stopped(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] in STOPPED
