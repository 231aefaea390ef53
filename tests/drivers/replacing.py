"""A program that has replaced functions of builtins, and runs a text as the attach does.

The text comes on stdin, a word in the place of its settings. Known: what the text says over its link, which of the
link's three files it leaves open, and how often it called what was replaced.
"""

import builtins
import ctypes
import json
import os
import socket
import sys

CALLED = []


def replace(name):
    """Puts a function in place that raises."""

    def replaced(*_arguments, **_keywords):
        CALLED.append(name)
        raise ValueError(name)

    setattr(builtins, name, replaced)


def is_open(number):
    """Whether there is a file of that number."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def main():
    """Tells what came of it."""
    text, word = sys.stdin.buffer.read(), sys.argv[1].encode()
    ours, theirs = socket.socketpair()
    numbers = [os.dup(theirs.fileno()), os.memfd_create("marker"), theirs.detach()]
    files = tuple((number, os.fstat(number).st_dev, os.fstat(number).st_ino) for number in numbers)
    peer, marker, descriptor = numbers
    settings = {"descriptor": descriptor, "peer": peer, "marker": marker, "pid": os.getpid(), "nonce": "00"}
    settings["files"] = files
    text = text.replace(word, repr(settings).encode())
    for name in sys.argv[2:]:
        replace(name)
    ctypes.pythonapi.PyRun_SimpleString(text)
    ours.settimeout(10)
    said = ours.recv(4096)
    answer = {"said": said.decode("latin-1"), "open": list(map(is_open, numbers)), "called": CALLED}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
