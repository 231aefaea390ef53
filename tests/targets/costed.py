"""Runs one of a few programs over and over, and tells each tenth of a second of CPU time how long one run took, s."""

# ruff: noqa: T201 - it prints, as programs do

import sys
import threading
import time


def leaf(number):
    """Some work."""
    found = number
    for step in range(12):
        found = (found * 31 + step) % 1009
    return found


def tree(depth):
    """Calls itself twice, and a function that works."""
    if depth == 0:
        return leaf(depth)
    return tree(depth - 1) + tree(depth - 1) + leaf(depth)


def calls():
    """Calls functions of Python's."""
    tree(7)


WORDS = ("alpha beta gamma delta " * 60).split()


def c_functions():
    """Calls C functions, and methods of types written in C."""
    seen = {}
    for word in WORDS:
        found = seen.get(word)
        value = 0
        for step in range(6):
            value = (value * 31 + step) % 1009
        seen[word] = len(word) + value if found is None else min(found, value)
    return sorted(seen)


class Account:
    """An object with short methods."""

    def __init__(self, value):
        self.value = value

    def rate(self, step):
        """Some work."""
        found = self.value
        for turn in range(8):
            found = (found * 17 + step + turn) % 4093
        return found

    def move(self, other, step):
        """Calls two methods, and works."""
        amount = self.rate(step) - other.rate(step)
        self.value = (self.value + amount) % 8191
        return self.value


def methods():
    """Calls methods of objects."""
    first, second = Account(3), Account(5)
    for step in range(300):
        first.move(second, step)


def numbers(count):
    """A generator that works."""
    found = 1
    for step in range(count):
        found = (found * 31 + step) % 1009
        found = (found * 17 + step) % 4093
        yield found


def generators():
    """Resumes a generator."""
    total = 0
    for one in numbers(1_000):
        total = (total + one) % 8191
    return total


PROGRAMS = {one.__name__: one for one in (calls, c_functions, methods, generators)}


def main():
    """Runs until it is ended."""
    program = PROGRAMS[sys.argv[1] if len(sys.argv) > 1 else "calls"]
    print("ready", threading.active_count(), flush=True)
    while True:
        began, runs = time.thread_time(), 0
        while time.thread_time() < began + 0.1:
            program()
            runs += 1
        print((time.thread_time() - began) / runs, flush=True)


if __name__ == "__main__":
    main()
