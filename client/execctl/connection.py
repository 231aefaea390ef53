"""Which daemon the commands talk to: finds its socket, starts it when it does not run, opens a client on it.

Nothing here imports grpc before a daemon is known to listen: help, completion and usage errors stay fast.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execctl.errors import ClientError
from execctl.exits import ExitCode
from execctl.interrupts import held
from execctl.paths import socket_path
from execctl.silence import Silence

if TYPE_CHECKING:
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
        path = str(socket_path(self.socket, os.environ))
        if not listens(path):
            self._start(path)
        with held():
            from execctl.client import Client  # noqa: PLC0415 - imports grpc, which costs more than all the rest
        return Client(path, Silence(path).tell)

    def _start(self, path: str) -> None:
        if not self.may_start:
            raise ClientError(
                f"no daemon listens on {path}",
                kind="no_daemon",
                exit_code=ExitCode.NO_DAEMON,
                remedy="start it with `execd start`, or leave out --no-start",
                facts={"socket": path},
            )
        from execctl.autostart import start_daemon  # noqa: PLC0415 - needed once a login, not once a command

        start_daemon(path, self.data_dir)


def listens(path: str) -> bool:
    """Return whether somebody accepts connections on this unix socket.

    Raises:
        ClientError: the socket is there, but this user may not connect to it.
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
            raise ClientError(
                f"cannot connect to the daemon's socket {path}: {error.strerror}",
                kind="not_permitted" if isinstance(error, PermissionError) else "no_daemon",
                exit_code=ExitCode.NOT_PERMITTED if isinstance(error, PermissionError) else ExitCode.NO_DAEMON,
                remedy="name the socket of your own daemon with --socket or EXECD_SOCKET",
                facts={"socket": path},
            ) from error
    return True
