"""The agent's last word, which the program's main thread says: to a daemon that is gone, stopped, or listens."""

import posix
import signal
import socket
import time

import measuring
from execd_agent import originals, port

WORD = b"ending"
LIMIT_S = 0.3


class Calm:
    """Hurries nobody."""

    def __enter__(self):
        """Nothing."""

    def __exit__(self, *_error):
        """Nothing."""


def told(ours):
    """Whether it was said, how long that took, and whether the channel's reads wait as before."""
    end = port.Port(ours.fileno(), Calm())
    began = time.monotonic()
    try:
        end.tell(WORD, began + LIMIT_S)
    except port.ChannelClosed:
        said = False
    else:
        said = True
    took_s = time.monotonic() - began
    return {"said": said, "took_s": took_s, "waits": posix.get_blocking(ours.fileno())}


def gone():
    """In a program that SIGPIPE ends; one that is pending afterwards would end it at the next system call."""
    ours, theirs = socket.socketpair()
    theirs.close()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    return {**told(ours), "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))}


def full():
    """The daemon does not read, and nothing more fits in."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    try:
        while True:
            ours.send(b" ")
    except BlockingIOError:
        ours.setblocking(True)
    with theirs:
        return told(ours)


def busy():
    """The agent's thread is writing, and does not come to an end."""
    ours, theirs = socket.socketpair()
    kept = originals.new_lock()
    kept.acquire()
    usual, originals.new_lock = originals.new_lock, lambda: kept
    try:
        with theirs:
            return told(ours)
    finally:
        originals.new_lock = usual


def heard():
    """The daemon listens."""
    ours, theirs = socket.socketpair()
    with theirs:
        return {**told(ours), "heard": theirs.recv(2 * len(WORD)) == WORD}


if __name__ == "__main__":
    measuring.serve({"gone": gone, "full": full, "busy": busy, "heard": heard})
