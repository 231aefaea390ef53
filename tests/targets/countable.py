"""Work whose calls, lines and blocks the tools of the standard library count from the first line to the last.

Started with -X tracemalloc it prints its own blocks at its end: line, count, bytes.
"""

# ruff: noqa: T201 - it prints, as programs do

import sys


class Thing:
    """Is made and asked some times."""

    def __init__(self, number):
        self.number = number

    def doubled(self):
        """Is called by a comprehension."""
        return 2 * self.number


def fib(number):
    """Calls itself."""
    return number if number < 2 else fib(number - 1) + fib(number - 2)


def numbers(count):
    """Is resumed."""
    for number in range(count):  # noqa: UP028 - its resumptions are counted
        yield number


def failing(number):
    """Ends by an exception, every other time."""
    if number % 2:
        raise ValueError(number)
    return number


KEPT = []
for size in range(1, 41):
    KEPT.append(bytearray(1000 * size))
    KEPT.append(Thing(size))

TOTAL = sum(thing.doubled() for thing in KEPT if isinstance(thing, Thing))
for attempt in numbers(10):
    try:
        failing(attempt)
    except ValueError:
        TOTAL += 1
print(TOTAL, fib(12), sorted(map(lambda one: -one, numbers(3))), sys.argv[1:])  # noqa: C417 - a frame of its own

if "tracemalloc" in sys._xoptions:  # noqa: SLF001 - there is no other way to see it
    import tracemalloc

    for statistic in tracemalloc.take_snapshot().statistics("lineno"):
        if statistic.traceback[0].filename == __file__:
            print("block", statistic.traceback[0].lineno, statistic.count, statistic.size, file=sys.stderr)
