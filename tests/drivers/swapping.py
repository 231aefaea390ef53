"""The agent's descriptors, where a file of the program's takes the number of one just after it was looked at."""

import os
import posix
import socket
import tempfile

import measuring
from execd_agent import port
from launching import definitions

CONTENT = b"x" * 4096


class Calm:
    """Hurries nobody."""

    def __enter__(self):
        """Nothing."""

    def __exit__(self, *_error):
        """Nothing."""


class Swap:
    """The module posix, whose fstat lets another thread have the GIL: once, that one opens its file."""

    def __init__(self, number):
        self.number = number
        self.own = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as this lives
        self.own.write(CONTENT)
        self.own.seek(0)
        self.is_due = False

    def __getattr__(self, name):
        """All else is as it is."""
        return getattr(posix, name)

    def fstat(self, number):
        """Answers of what was there before."""
        facts = posix.fstat(number)
        if self.is_due and number == self.number:
            os.dup2(self.own.fileno(), number)
        return facts

    def is_untouched(self):
        """Whether nobody has read from the file, or written to it."""
        place = os.lseek(self.number, 0, os.SEEK_CUR)
        return (place, os.pread(self.number, 2 * len(CONTENT), 0)) == (0, CONTENT)


def swapped(act):
    """What became of the file, and whether the port said that it is closed."""
    ours, theirs = socket.socketpair()
    port.posix = swap = Swap(ours.fileno())
    end = port.Port(ours.detach(), Calm())
    theirs.sendall(bytes(4))
    end.send(b"before")
    heard = theirs.recv(len(CONTENT)).decode()
    swap.is_due, closed = True, False
    try:
        act(end)
    except port.ChannelClosed:
        closed = True
    return {"heard": heard, "closed": closed, "untouched": swap.is_untouched()}


def receive():
    """While it is read from."""
    return swapped(lambda end: end.receive())


def send():
    """While it is written to."""
    return swapped(lambda end: end.send(b"after"))


def launched(act, *, is_swapped=True):
    """What became of the file, or of the socket, that the functions of launch.py were to close or to read from."""
    ours, theirs = socket.socketpair()
    number = ours.detach()
    swap, facts, names = Swap(number), os.fstat(number), definitions()
    files = [(number, facts.st_dev, facts.st_ino)]
    call = names["caller"](swap, OSError, files, -1)
    swap.is_due, closed = is_swapped, False
    try:
        act(number, call, names["closer"](swap, OSError, files, call))
    except KeyError:
        closed = True
    return theirs, swap, closed


def bootstrap():
    """While the agent's modules are read."""
    _, swap, closed = launched(lambda number, call, _: call(posix.read, number, len(CONTENT)))
    return {"closed": closed, "untouched": swap.is_untouched()}


def close():
    """While it is closed with a last word; where there is no such file the word is heard, and then the end."""
    (theirs, _, _) = launched(lambda number, _, close: close(number, b"last"), is_swapped=False)
    heard = [theirs.recv(len(CONTENT)).decode(), theirs.recv(len(CONTENT)).decode()]
    _, swap, _ = launched(lambda number, _, close: close(number, b"last"))
    return {"heard": heard, "untouched": swap.is_untouched()}


if __name__ == "__main__":
    measuring.serve({"receive": receive, "send": send, "bootstrap": bootstrap, "close": close})
