"""A daemon that is there and answers nobody: which process that is, what became of it, and what to do."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


# struct ucred: pid, uid, gid.
UCRED = struct.Struct("iii")
# struct flock of 64-bit Linux: l_type, l_whence, padding, l_start, l_len, l_pid, padding.
FLOCK = struct.Struct("hhxxxxqqixxxx")
STOPPED, ENDED = "tT", "ZX"


@dataclass(frozen=True, slots=True)
class Listener:
    """Who listens on a unix socket.

    Attributes:
        pid: the process; None where it is out of sight.
        is_stopped: it does not run, and goes on at a SIGCONT.
        is_full: it has accepted nobody for so long that no more connections queue up.
    """

    pid: int | None
    is_stopped: bool
    is_full: bool


class Silence:
    """Tells of it, once a command.

    Args:
        path: of the daemon's socket.
        say: is told it.
    """

    def __init__(self, path: str, say: Callable[[str], object]) -> None:
        self._path = path
        self._say = say
        self._told = False

    def tell(self) -> None:
        """Say it."""
        if self._told:
            return
        self._told = True
        found = find_listener(self._path)
        if found is not None and found.is_stopped:
            self._say(
                f"the daemon (PID {found.pid}) does not answer: it is stopped; `kill -CONT {found.pid}` lets it go on, "
                "`execd stop` ends it, Ctrl-C gives up"
            )
            return
        which = f"on {self._path}" if found is None or found.pid is None else f"(PID {found.pid})"
        self._say(
            f"the daemon {which} does not answer: all its threads are busy with other commands, or it hangs; "
            "`execd stop` ends it, Ctrl-C gives up"
        )


def find_listener(path: str) -> Listener | None:
    """Return who listens on a unix socket, None where nobody does that this user may connect to."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:
            pid, is_full = _lock_holder(f"{path}.lock"), True
        except OSError:
            return None
        else:
            pid, is_full = UCRED.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))[0], False
    return Listener(pid or None, bool(pid) and _is_stopped(pid), is_full)


def _lock_holder(path: str) -> int:
    """Return the process that holds a daemon's lock, 0 where that is not to be seen."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        question = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, question))
    finally:
        os.close(descriptor)
    # A process of another PID namespace has a number that is none here.
    return 0 if kind == fcntl.F_UNLCK else max(int(pid), 0)


def has_ended(pid: int) -> bool:
    """Return whether there is no such process, or what is left of it waits for its parent."""
    return _state(pid) in ENDED


def _is_stopped(pid: int) -> bool:
    return _state(pid) in STOPPED


def _state(pid: int) -> str:
    """Return the letter of a process's state, X where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return "X"
    except OSError:
        return "?"
    return stat.rpartition(")")[2].split()[0]
