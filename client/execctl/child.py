"""A program as our child: it inherits what we have, gets the signals that we get, and we end as it ended."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import socket
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from execctl.errors import NoDaemon, NotSupported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

# Those that a terminal does not give to the whole process group, or that mean the program where they come to us alone.
_HANDED_ON = (
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
    signal.SIGTSTP,
)
# A program's own files have the first free numbers, as they have without us.
_HIGH = 200
_ACK_S = 30


class Inheritance:
    """The two files that a program inherits, under high numbers: a connection and an archive. A context manager."""

    def __init__(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        archive = os.memfd_create(f"execd:{os.getuid()}:{os.getpid()}", os.MFD_CLOEXEC)
        lowest = min(_HIGH, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
        self.archive = _moved(archive, lowest)
        self.channel = _moved(connection.detach(), lowest)
        self._open = True

    def connect(self, path: str, token: str, limit_s: int) -> None:
        """Say who comes.

        Args:
            path: of the daemon's socket for agents.
            token: that it has given.
            limit_s: of the agent's reads and writes.

        Raises:
            NoDaemon: the daemon does not answer.
        """
        with socket.socket(fileno=os.dup(self.channel)) as connection:
            _limit(connection, _ACK_S)
            try:
                # In blocking mode it waits, for as long, where many come at once; otherwise that is an error.
                connection.connect(path)
                connection.settimeout(_ACK_S)
                connection.sendall(token.encode())
                taken = connection.recv(1)
            except OSError as error:
                raise _not_taken(path, error.strerror or str(error)) from error
            if not taken:
                raise _not_taken(path, "it closed the connection")
            # Of the socket, whoever has it: os.dup shares it. The mode of its reads is shared, too.
            connection.setblocking(True)
            _limit(connection, limit_s)

    def fill(self, content: bytes) -> None:
        """Write the archive."""
        with open(self.archive, "wb", closefd=False) as file:
            file.write(content)

    def close(self) -> None:
        """Let go of both: from here on they are the program's alone. Once more is no error."""
        if self._open:
            # The numbers may be those of other files by the next time.
            self._open = False
            for number in (self.channel, self.archive):
                with suppress(OSError):
                    os.close(number)


def start(
    command: Sequence[str], environment: Mapping[str, str], inherited: Inheritance, **given: Any
) -> subprocess.Popen[bytes]:
    """Start a program in our place: same terminal, same group, all files that we inherited.

    Args:
        command: its own, after the interpreter's.
        environment: as it is to be.
        inherited: what it gets beside.
        **given: further arguments of subprocess.Popen; with close_fds it inherits no other files of ours.

    Raises:
        NotSupported: it cannot be executed.
    """
    ours = (inherited.channel, inherited.archive)
    if given.pop("close_fds", False):
        # In the child alone: another thread may start another program at the same time.
        given["pass_fds"] = (*given.get("pass_fds", ()), *ours)
    else:
        given["close_fds"] = False
        for number in ours:
            os.set_inheritable(number, True)
    try:
        return subprocess.Popen(command, **given, env=environment)
    except OSError as error:
        # It may be the directory to start in that is not there.
        place = os.fsdecode(error.filename or command[0])
        remedy = "name another interpreter with --python" if place == command[0] else "name another cwd"
        raise NotSupported(f"cannot start {command[0]}: {place}: {error.strerror}", remedy=remedy) from error
    finally:
        inherited.close()


class Recipient:
    """The process that gets our signals: what comes before it is there waits for it."""

    def __init__(self) -> None:
        self._pid = 0
        self._waiting: list[int] = []
        self._over = False

    def begin(self, pid: int) -> None:
        """Hand on to a process from here on, and what has come before first of all."""
        self._pid = pid
        while self._waiting:
            self.tell(self._waiting.pop(0))

    def end(self) -> None:
        """Hand on to nobody: the process is gone, and its number may be another's."""
        self._over = True

    def tell(self, number: int) -> None:
        """Hand a signal on."""
        if self._over:
            return
        if not self._pid:
            self._waiting.append(number)
            return
        with suppress(ProcessLookupError):
            os.kill(self._pid, number)


@contextmanager
def signals_handed_on(to: Recipient) -> Iterator[None]:
    """Hand signals on to a process. Ctrl-C is the program's own: the terminal tells it."""

    def hand_on(number: int, _frame: FrameType | None) -> None:
        to.tell(number)
        if number == signal.SIGTSTP:
            _stop_ourselves(hand_on)

    before = {}
    for number in (*_HANDED_ON, signal.SIGINT):
        # What nobody is to hear of is inherited so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, _nothing if number == signal.SIGINT else hand_on)
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def end_as(status: int) -> int:
    """Return the exit code of a program, or die of the signal that it died of.

    Args:
        status: as subprocess has it, the negative number of a signal.
    """
    if status >= 0:
        return status
    # Its core is enough.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with suppress(ValueError, OSError):
        signal.signal(-status, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {-status})
    os.kill(os.getpid(), -status)
    return 128 - status


def _stop_ourselves(handler: Callable[[int, FrameType | None], None]) -> None:
    """Do what the signal does where nobody handles it, which in an orphaned group is nothing."""
    signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, handler)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Stand for a handler: what has one is not ignored, here nor by inheritance."""


def _moved(number: int, lowest: int) -> int:
    """Return a file under a number from `lowest` on, closed where it was."""
    moved = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, lowest)
    os.close(number)
    return moved


def _limit(connection: socket.socket, seconds: int) -> None:
    """Bound each read and write of a socket, and how long it takes to connect."""
    limit = seconds.to_bytes(8, "little") + bytes(8)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, option, limit)


def _not_taken(path: str, why: str) -> NoDaemon:
    return NoDaemon(
        f"the daemon does not take a program in at {path}: {why}",
        remedy="see what it says: execd status",
    )
