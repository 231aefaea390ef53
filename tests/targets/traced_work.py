"""Work of every kind whose lines are known to `trace`: loops on one line, generators, recursion, exceptions, classes.

As a program it works on command: "steps K" calls `step` K times, and answers how many lines and calls of `step` that
were; "spin MS" does so for so long. "state" answers what this process holds.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

# What `step` makes: its call, and its lines.
EVENTS_OF_A_STEP = 4


def step(n):
    """Three lines and a call."""
    a = n + 1
    b = a * 2
    return b - n


def steps(count):
    """Calls `step` so often."""
    for n in range(count):
        step(n)
    return count


def loops():
    """Loops on one line and on several."""
    total = 0
    for n in range(3): total -= n  # fmt: skip  # noqa: E701 - it jumps onto its own line
    while total < 3:
        total += 1
    return [m * 2 for m in range(2)], total


def numbers():
    """A generator."""
    for n in range(3):
        yield n + 1


def generators():
    """Generators, one of them left early."""
    first = numbers()
    next(first)
    first.close()
    return sum(numbers()) + sum(n for n in range(2))


def recursion(depth=3):
    """Calls itself."""
    if depth == 0:
        return 0
    return 1 + recursion(depth - 1)


def failing():
    """Raises."""
    raise LookupError("known")


def exceptions():
    """Catches what another raises."""
    try:
        failing()
    except LookupError as error:
        return str(error)
    finally:
        step(1)


class Thing:
    """Has methods."""

    def method(self):
        """One."""
        return self.meta()

    def meta(self):
        """Another."""
        return max([1, 2], key=lambda n: -n)


def classes():
    """Makes a class and calls methods."""

    class Local(Thing):
        value = 1

    return Local().method()


def everything():
    """All of them."""
    loops()
    generators()
    recursion()
    exceptions()
    classes()


WORKS = ("loops", "generators", "recursion", "exceptions", "classes")


def spin(duration_ms):
    """Steps for so long; how many."""
    end, count = time.perf_counter() + duration_ms / 1000, 0
    while time.perf_counter() < end:
        count += steps(1000)
    return count


def main():
    """Serves until stdin ends."""
    actions = {"steps": steps, "spin": spin, "state": line_protocol.state}
    line_protocol.ready()
    line_protocol.serve(actions)


if __name__ == "__main__":
    main()
