"""A program whose garbage is collected all the time, by finalizers that give the interpreter's lock away.

Known: "work" answers how many steps it has done. Nothing is written to stderr.
"""

import gc
import itertools
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

THRESHOLD = 100
SLEEP_S = 0.03
DONE = itertools.count()


class Cycle:
    """Garbage that only a collection finds. One at a time has a finalizer that sleeps."""

    sleeps = False

    def __init__(self):
        self.itself = self


class Sleeper(Cycle):
    """That one."""

    def __del__(self):
        time.sleep(SLEEP_S)
        Cycle.sleeps = False


def step():
    """Leaves one behind; the frame's variables are a dict made anew at each event of a profile function."""
    kind = Cycle if Cycle.sleeps else Sleeper
    Cycle.sleeps = True
    garbage = kind()
    return garbage is not None


def main():
    """Never returns."""
    line_protocol.serve_beside({"work": lambda: int(repr(DONE)[len("count(") : -1])})
    gc.set_threshold(THRESHOLD)
    line_protocol.ready()
    while True:
        step()
        next(DONE)


if __name__ == "__main__":
    main()
