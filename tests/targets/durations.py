"""A target whose functions take known times: so many times the work of which `reference` does the most.

The work is one instruction, a search that finds nothing: no event comes within it. What a function takes that does it n
times is n times what reference takes divided by its own number; both run in the same rounds, on whatever machine.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

# One search takes about 10 us where nobody else runs; it is of one object, so that it needs little of the caches.
SEARCHED = (0.5,) * 800
REFERENCE = 100
LEAF, LONGER, LONG = 2, 10, 100
DEPTH = 5
# How often each does the work itself, and with all that it calls.
KNOWN = {
    "leaf": (2, 2),
    "longer": (10, 10),
    "long": (100, 100),
    "nested": (2, 6),
    "recursive": (2, 10),
    "with_c": (2, 2),
    "with_types": (2, 2),
    "method": (2, 2),
}
# A twentieth of it, done a hundred times, each with a call of a C function: about 50 us, and events of 50 to 400 us.
PART = SEARCHED[:40]
TIGHT = 5


def reference():
    """What all others are measured against: events are next to nothing beside it."""
    for _ in MANY_TIMES:
        None in SEARCHED  # noqa: B015 - this is the work


def leaf():
    """Does it twice, about 20 us."""
    for _ in TWICE:
        None in SEARCHED  # noqa: B015


def longer():
    """About 100 us."""
    for _ in TEN_TIMES:
        None in SEARCHED  # noqa: B015


def long():
    """About 1 ms."""
    for _ in HUNDRED_TIMES:
        None in SEARCHED  # noqa: B015


def nested():
    """Does it twice itself, and calls a function that does so twice."""
    for _ in TWICE:
        None in SEARCHED  # noqa: B015
    for _ in TWICE:
        leaf()


def recursive(depth):
    """Does it twice at each of five levels."""
    for _ in TWICE:
        None in SEARCHED  # noqa: B015
    if depth > 1:
        recursive(depth - 1)


def with_c():
    """Does it twice, and calls a C function twice."""
    size = len
    for _ in TWICE:
        None in SEARCHED  # noqa: B015
    for _ in TWICE:
        size(())


def with_types():
    """Does it twice, and calls a type twice, which counts as no call."""
    kind = int
    for _ in TWICE:
        None in SEARCHED  # noqa: B015
    for _ in TWICE:
        kind()


def tight():
    """Does a twentieth of it, and calls a C function, in a loop of little else."""
    size = len
    for _ in HUNDRED_TIMES:
        None in PART  # noqa: B015
        size(())


class Worker:
    """Has a method that takes as long as leaf."""

    def method(self):
        """About 20 us."""
        for _ in TWICE:
            None in SEARCHED  # noqa: B015


TWICE, TEN_TIMES, HUNDRED_TIMES = range(LEAF), range(LONGER), range(LONG)
MANY_TIMES = range(REFERENCE)


asked = 0


def dying_clock():
    """A timer that fails once it was asked 1,000 times."""
    global asked  # noqa: PLW0603 - a clock
    asked += 1
    if asked > 1_000:
        raise ArithmeticError("the clock has stopped")
    return asked


def a_round(worker):
    """All of them, in short turns: a machine is not equally fast all the time."""
    for turn in range(40):
        reference()
        leaf()
        nested()
        recursive(DEPTH)
        with_c()
        with_types()
        worker.method()
        longer()
        if turn % 4 == 0:
            long()
            tight()


def main():
    """Does rounds until stdin ends; with an argument, so many."""
    worker = Worker()
    if sys.argv[1:]:
        for _ in range(int(sys.argv[1])):
            a_round(worker)
        return
    done = [0]
    line_protocol.serve_beside({"rounds": lambda: done[0]})
    line_protocol.ready()
    while True:
        a_round(worker)
        done[0] += 1


if __name__ == "__main__":
    main()
