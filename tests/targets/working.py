"""Threads that work and threads that wait, as the first argument says (WORKS); work goes on from "begin" to "rest".

Known: every piece of work has the same result. "count" answers how many pieces were done and how many had another
result; it is answered by a thread of its own, or by the main thread where that is to be idle.
"""

import ctypes
import os
import re
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

POWER = 300_000
POWER_BITS = 475_489
SUM_TO = 3_000_000
HOLD_MS = 60
THREADS = 200
BUSY_THREADS = 3
BACKTRACKING = re.compile("(a+)+b")
HAYSTACK = "a" * 19


def long_bytecode():
    """A bytecode that takes milliseconds."""
    return (3**POWER).bit_length() == POWER_BITS


def long_sum():
    """A C function that runs no bytecode meanwhile."""
    return sum(range(SUM_TO)) == SUM_TO * (SUM_TO - 1) // 2


def long_match():
    """A regular expression that tries everything."""
    return BACKTRACKING.match(HAYSTACK) is None


def hold():
    """C code that sleeps and does not let the GIL go."""
    return ctypes.PyDLL(None).usleep(HOLD_MS * 1000) == 0


def bytecode():
    """Many short bytecodes."""
    total = 0
    for value in range(1000):
        total += value
    return total == 499_500


def nap():
    """A wait in which others work."""
    return time.sleep(0.05) is None


class Tally:
    """What was done; each thread adds to a pair of its own."""

    def __init__(self):
        self.pairs = []
        self.begun = threading.Event()

    def work(self, piece):
        """Does one piece after the other, for ever."""
        pair = [0, 0]
        self.pairs.append(pair)
        while self.begun.wait():
            pair[not piece()] += 1

    def idle(self):
        """Waits for good."""
        threading.Event().wait()

    def begin(self):
        """Lets the work begin."""
        self.begun.set()
        return True

    def rest(self):
        """Lets it pause."""
        self.begun.clear()
        return True

    def count(self):
        """Pieces done, and pieces with a wrong result."""
        return [sum(pair[0] for pair in self.pairs), sum(pair[1] for pair in self.pairs)]

    def beside(self, target, *arguments):
        """Runs something in a thread of its own."""
        threading.Thread(target=target, args=arguments, daemon=True).start()


# What the main thread does (None: it answers), what so many others do, and how many others wait.
WORKS = {
    "long-bytecode": (long_bytecode, None, 0, 0),
    "sum": (long_sum, None, 0, 0),
    "regex": (long_match, None, 0, 0),
    "hold": (hold, None, 0, 0),
    "hold-in-worker": (None, hold, 1, 0),
    "workers-busy": (None, bytecode, 2, 0),
    "workers-idle": (bytecode, None, 0, 4),
    "sleep-workers-busy": (nap, bytecode, 2, 0),
    "threads-idle": (nap, None, 0, THREADS),
    "threads-busy": (None, bytecode, BUSY_THREADS, THREADS - BUSY_THREADS),
}


def main():
    """Never returns."""
    threading.stack_size(512 << 10)
    tally = Tally()
    in_main, in_others, busy, idle = WORKS[sys.argv[1]]
    for _ in range(idle):
        tally.beside(tally.idle)
    for _ in range(busy):
        tally.beside(tally.work, in_others)
    actions = {"begin": tally.begin, "rest": tally.rest, "count": tally.count}
    if in_main is None:
        line_protocol.ready()
        line_protocol.serve(actions)
    else:
        line_protocol.serve_beside(actions)
        line_protocol.ready()
        tally.work(in_main)


if __name__ == "__main__":
    main()
