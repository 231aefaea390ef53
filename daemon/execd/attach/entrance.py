"""The entrance: a socket beside the daemon's own, on which agents come in whose programs were started for them.

`execctl run` connects to it and says a token; the program that it then starts inherits the connection. Nothing is
traced, so that no rule about tracing is in the way.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

from execd.attach import ancillary
from execd.attach.arrival import linked
from execd.attach.delivery import Delivery
from execd.errors import AgentFailed, SocketPathTooLong

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from execd.attach.attacher import AgentLink

_LOG = logging.getLogger("execd.attach")
METHOD = "a start of its own"
TOKEN_BYTES = 32
TAKEN = b"\1"
# sun_path in sys/un.h, without its closing zero.
_PATH_BYTES = 107
# In which who has come says the whole token; so many may be about to.
_TOKEN_S = 5.0
_UNIDENTIFIED_LIMIT = 64
_BACKLOG = 128
# Where nobody can be let in, for there are too many open files or threads, until it is tried again.
_PAUSE_S = 0.1
# From the start of a program to its interpreter's import of site; a wrapper script may come before it.
_HELLO_S = 120.0


class Entrance:
    """The listening socket and its thread, which sleeps until somebody connects.

    Args:
        path: of the socket, in a directory of this user alone; what an earlier daemon left there is removed.
        admit: called in a thread of its own with a token and its connection, which it takes over. Raises KeyError for
            a token that nobody was given.

    Raises:
        SocketPathTooLong: the kernel takes no such path.
    """

    def __init__(self, path: Path, admit: Callable[[bytes, socket.socket], None]) -> None:
        if len(os.fsencode(path)) > _PATH_BYTES:
            raise SocketPathTooLong(
                f"the path of the agents' socket is over {_PATH_BYTES} bytes long: {path}",
                remedy="choose a shorter one for the daemon's with --socket or EXECD_SOCKET",
                path=path,
            )
        self.path = path
        self._admit = admit
        self._closing = threading.Event()
        self._unidentified = threading.Semaphore(_UNIDENTIFIED_LIMIT)
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(os.fspath(path))
        path.chmod(0o600)
        self._listener.listen(_BACKLOG)
        self._thread = threading.Thread(target=self._run, name="execd-entrance", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let nobody in any more."""
        self._closing.set()
        # It may wait for either.
        self._unidentified.release()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(1.0)
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def _run(self) -> None:
        told = ""
        while not self._closing.is_set():
            # Whoever is not let in yet waits in the kernel.
            self._unidentified.acquire()
            try:
                self._let_in()
                told = ""
            except (OSError, RuntimeError) as error:
                self._unidentified.release()
                if not self._closing.is_set() and str(error) != told:
                    told = str(error)
                    _LOG.warning("a program that was started could not be let in", extra={"facts": {"why": told}})
                self._closing.wait(_PAUSE_S)

    def _let_in(self) -> None:
        """Wait for somebody, and give them a thread. Raises OSError or RuntimeError where there is no room."""
        connection, _ = self._listener.accept()
        try:
            threading.Thread(target=self._receive, args=(connection,), name="execd-run", daemon=True).start()
        except BaseException:
            connection.close()
            raise

    def _receive(self, connection: socket.socket) -> None:
        with connection:
            try:
                token = _token(connection)
            except OSError:
                return  # nobody who has one
            finally:
                self._unidentified.release()
            # It may be one that nobody was given.
            with contextlib.suppress(KeyError):
                self._admit(token, connection)


def _credentials(connection: socket.socket) -> tuple[int, int, int]:
    """Return process, user and group of whoever made a connection."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, ancillary.CREDENTIALS.size)
    pid, uid, gid = ancillary.CREDENTIALS.unpack(data)
    return pid, uid, gid


def _token(connection: socket.socket) -> bytes:
    """Return what somebody of this user says first. Raises OSError for others, and who does not say it in time."""
    if _credentials(connection)[1] != os.geteuid():
        raise PermissionError
    deadline = time.monotonic() + _TOKEN_S
    data = b""
    while len(data) < TOKEN_BYTES:
        # No time at all would make it non-blocking.
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        part = connection.recv(TOKEN_BYTES - len(data))
        if not part or time.monotonic() > deadline:
            raise ConnectionResetError
        data += part
    connection.settimeout(_TOKEN_S)
    return data


def greet(connection: socket.socket, bundle: bytes, sources: bytes, nonce: str) -> tuple[AgentLink, int]:
    """Let a program start that inherits a connection; return the link to its agent, and its process id.

    Args:
        connection: taken over once the agent has answered.
        bundle: what the agent reads in any case, see `Delivery`.
        sources: of the agent, where it asks for them.
        nonce: what its hello must hold.

    Raises:
        AgentFailed: the program ended, or went on, without an agent.
        NotPermitted: it is another user's.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    try:
        connection.sendall(TAKEN)
        _await_hello(Delivery(connection, bundle, sources))
    except (AgentFailed, ConnectionError) as error:
        # Where it is over without a word, sitecustomize of ours was not imported, or failed.
        raise AgentFailed(f"the program's interpreter did not start execd's agent: {error}") from None
    who = _sender(connection)
    return linked(connection, who, nonce, METHOD), who[0]


def _await_hello(delivery: Delivery) -> None:
    deadline = time.monotonic() + _HELLO_S
    while not delivery.arrived(max(deadline - time.monotonic(), 0)):
        if time.monotonic() >= deadline:
            raise AgentFailed(f"it has not come within {_HELLO_S:.0f} s")


def _sender(connection: socket.socket) -> tuple[int, int]:
    """Return process and user of whoever sent what is to be read next, as the kernel knows them."""
    _, told, _, _ = connection.recvmsg(1, ancillary.SPACE, socket.MSG_PEEK)
    who = ancillary.sender(told)
    if who is None:
        raise AgentFailed("the kernel does not say who speaks")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
    return who
