"""Which daemon a client talks to: finds its socket, and starts it when it does not run.

Nothing here imports grpc before a daemon is known to listen: help, completion and usage errors stay fast.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execctl import output
from execctl.errors import NoDaemon, NotPermitted
from execctl.paths import socket_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from execctl.client import Client


@dataclass(frozen=True, slots=True)
class Connection:
    """What the options before the command say about the daemon.

    Attributes:
        socket: path of its socket; None or "" for the default place.
        data_dir: the data directory of a daemon that has to be started; None for its own default.
        may_start: whether one may be started.
    """

    socket: str | None
    data_dir: str | None
    may_start: bool

    def open(self) -> Client:
        """Return a client of the running daemon, started where none ran; use it as a context manager.

        Raises:
            ClientError: there is no daemon, and it must not or cannot be started.
        """
        from execctl.client import Client  # noqa: PLC0415 - help and usage errors need none

        return Client(self.socket, data_dir=self.data_dir, may_start=self.may_start, tell=output.note)


def reach(given: str | None, data_dir: str | None, tell: Callable[[str], object], *, may_start: bool) -> str:
    """Return the socket of a daemon that listens, started where none did.

    Args:
        given: its path; None or "" for the default place.
        data_dir: of one that has to be started; None for its own default.
        tell: is told what the user should know.
        may_start: whether one may be started.

    Raises:
        NoDaemon: there is none, and it must not or cannot be started.
        NotPermitted: it is another user's.
    """
    path = str(socket_path(given, os.environ))
    if listens(path):
        return path
    if not may_start:
        raise NoDaemon(
            f"no daemon listens on {path}",
            remedy="start it with `execd start`, or leave out --no-start",
            facts={"socket": path},
        )
    from execctl.autostart import start_daemon  # noqa: PLC0415 - needed once a login, not once a command

    start_daemon(path, data_dir, tell)
    return path


def listens(path: str) -> bool:
    """Return whether somebody accepts connections on this unix socket.

    Raises:
        NotPermitted: the socket is there, but this user may not connect to it.
        NoDaemon: it cannot be connected to.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # Where it accepts none for long, as when it is stopped, connections queue up, and one more would wait.
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:
            return True
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return False
        except OSError as error:
            kind = NotPermitted if isinstance(error, PermissionError) else NoDaemon
            raise kind(
                f"cannot connect to the daemon's socket {path}: {error.strerror}",
                remedy="name the socket of your own daemon with --socket or EXECD_SOCKET",
                facts={"socket": path},
            ) from error
    return True
