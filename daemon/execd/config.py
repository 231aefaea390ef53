"""Config: where this daemon keeps its data and listens, and for how long; decided once from flags and environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from execd.errors import SocketPathTooLong

if TYPE_CHECKING:
    from collections.abc import Mapping

# sun_path in sys/un.h has 108 bytes, the last one for the NUL.
SOCKET_PATH_MAX_BYTES = 107


@dataclass(frozen=True, slots=True)
class Config:
    """The places of one daemon, and how long it is told to keep profiles.

    Attributes:
        data_dir: absolute path of the directory with the store and the log.
        socket: absolute path of the unix socket.
        keep_days: profiles that are older go; None: as it was last.
        keep_bytes: the oldest profiles go where all are bigger together; None: as it was last.
    """

    data_dir: Path
    socket: Path
    keep_days: float | None = None
    keep_bytes: int | None = None

    @property
    def log(self) -> Path:
        """The structured log."""
        return self.data_dir / "execd.log"

    @property
    def quarantine(self) -> Path:
        """Where the store puts what it finds damaged when it is opened."""
        return self.data_dir / "quarantine"

    @property
    def agents_socket(self) -> Path:
        """The socket on which agents come in whose programs were started for them."""
        return self.socket.with_name(f"{self.socket.name}.in")

    @property
    def socket_lock(self) -> Path:
        """The file whose lock says that a daemon serves, or is about to serve, on the socket."""
        return self.socket.with_name(f"{self.socket.name}.lock")


def resolve(environ: Mapping[str, str], *, data_dir: str | None = None, socket: str | None = None) -> Config:
    """Decide where a daemon lives: a flag, else EXECD_DATA_DIR or EXECD_SOCKET, else the XDG directories.

    Args:
        environ: the environment; an empty variable counts as unset.
        data_dir: the flag --data-dir, or None.
        socket: the flag --socket, or None.

    Raises:
        SocketPathTooLong: the kernel takes no path of that length.
    """
    data = data_dir or environ.get("EXECD_DATA_DIR") or _default_data_dir(environ)
    path = Path(socket or environ.get("EXECD_SOCKET") or _default_socket(environ)).absolute()
    if (length := len(os.fsencode(path))) > SOCKET_PATH_MAX_BYTES:
        raise SocketPathTooLong(
            f"the socket's path is {length} bytes long, and the kernel takes {SOCKET_PATH_MAX_BYTES}: {path}",
            remedy="choose a shorter one with --socket or EXECD_SOCKET",
            path=path,
            length=length,
        )
    return Config(Path(data).absolute(), path)


def _default_data_dir(environ: Mapping[str, str]) -> Path:
    return (_xdg_directory(environ, "XDG_STATE_HOME") or _home_state(environ)) / "execd"


def _default_socket(environ: Mapping[str, str]) -> Path:
    runtime = _xdg_directory(environ, "XDG_RUNTIME_DIR")
    run_dir = runtime / "execd" if runtime else _home_state(environ) / "execd" / "run"
    return run_dir / "execd.sock"


def _xdg_directory(environ: Mapping[str, str], name: str) -> Path | None:
    # The XDG specification: a relative path is invalid and to be ignored.
    path = Path(environ.get(name, ""))
    return path if path.is_absolute() else None


def _home_state(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or Path.home()) / ".local" / "state"
