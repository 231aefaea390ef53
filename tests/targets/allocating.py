"""A main thread that reads, and keeps and drops memory as it is told.

"churn N" drops N blocks and makes N others. "leak N" keeps N blocks of 1,000 bytes for ever. "kinds N" keeps N objects
of `Kept`, each with a text of its own, and one of `Sized`, whose __sizeof__ is written in Python; "asked" answers how
often that was called. "plain N" keeps N numbers. "fork" answers whether a forked child traces, "tracing" whether this
traces and how deep. With the argument "traced" it has traced since its start. Nothing is written to stderr.
"""

import gc
import os
import sys
import tracemalloc

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

SLOTS = [None] * 100_000
CHURNED = []
KEPT = []
ASKED = []


class Kept:
    """What is kept."""

    def __init__(self, number):
        self.text = "a text of its own, number %d" % number  # noqa: UP031 - on every version


class Sized:
    """What answers itself how large it is."""

    def __sizeof__(self):
        """Notes that it was asked."""
        ASKED.append(1)
        return 1 << 40


def churn(count):
    """Drops what it made before."""
    CHURNED[:] = [bytes(200 + number % 50) for number in range(count)]
    return len(CHURNED)


def leak(count):
    """Keeps what it makes."""
    for number in range(count):
        SLOTS[number] = bytes(1000)
    return sys.getsizeof(SLOTS[0])


def kinds(count):
    """Keeps objects."""
    KEPT.extend(Kept(number) for number in range(count))
    KEPT.append(Sized())
    return sum(type(one) is Kept for one in gc.get_objects())


def plain(count):
    """Keeps numbers that no other place has."""
    KEPT.append([1000 + number for number in range(count)])
    return sys.getallocatedblocks()


def fork():
    """Whether a child of ours traces."""
    pid = os.fork()
    if pid == 0:
        os._exit(int(tracemalloc.is_tracing()))
    return os.waitpid(pid, 0)[1] >> 8


def tracing():
    """Whether this traces, and how deep."""
    return [tracemalloc.is_tracing(), tracemalloc.get_traceback_limit()]


def main():
    """Ends with stdin."""
    if sys.argv[1:] == ["traced"]:
        tracemalloc.start(2)
    line_protocol.state()
    line_protocol.ready()
    actions = (churn, leak, kinds, plain, fork, tracing)
    line_protocol.serve(
        {**{one.__name__: one for one in actions}, "asked": lambda: len(ASKED), "state": line_protocol.state}
    )


if __name__ == "__main__":
    main()
