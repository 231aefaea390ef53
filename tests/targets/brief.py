"""A target whose functions take known times of 0.5 to 5 us, and some of 10 ms and longer, which time themselves.

The work is one instruction, a search that finds nothing. `brief_N` does it once a call, `reference_N` many times in one
call: what it takes there is known without an event. "rounds N" does N rounds, and answers with what the long functions
have measured of themselves, ns in all and how often; "alone N", while nothing is recorded, what those that call others
take in all, in units of their reference's work. The end of stdin ends it.
"""

import os
import sys
from time import perf_counter_ns

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

# About 12.5 ns an item.
HALF, ONE, TWO, FIVE = ((0.5,) * size for size in (40, 80, 160, 400))
TIMES = 400
MANY = range(TIMES)
# Of the longest searches.
TEN_MS, FORTY_MS = range(2_000), range(8_000)
MEASURED = {}


def brief_half():
    """About 0.5 us."""
    None in HALF  # noqa: B015 - this is the work


def brief_one():
    """About 1 us."""
    None in ONE  # noqa: B015


def brief_two():
    """About 2 us."""
    None in TWO  # noqa: B015


def brief_five():
    """About 5 us."""
    None in FIVE  # noqa: B015


def brief_nested():
    """About 2 us, half of it in two calls."""
    None in ONE  # noqa: B015
    brief_half()
    brief_half()


def brief_with_c():
    """About 2 us, and four calls of C functions within."""
    size = len
    size(())
    None in ONE  # noqa: B015
    size(())
    size(())
    None in ONE  # noqa: B015
    size(())


def reference_half():
    """The same without calls."""
    for _ in MANY:
        None in HALF  # noqa: B015


def reference_one():
    """The same without calls."""
    for _ in MANY:
        None in ONE  # noqa: B015


def reference_two():
    """The same without calls."""
    for _ in MANY:
        None in TWO  # noqa: B015


def reference_five():
    """The same without calls."""
    for _ in MANY:
        None in FIVE  # noqa: B015


def ten_ms():
    """No call within."""
    began = perf_counter_ns()
    for _ in TEN_MS:
        None in FIVE  # noqa: B015
    took("ten_ms", perf_counter_ns() - began)


def forty_ms():
    """Calls a brief function at every third step, and is much longer for that while it is recorded."""
    began = perf_counter_ns()
    for step in FORTY_MS:
        if step % 3:
            None in FIVE  # noqa: B015
        else:
            brief_five()
    took("forty_ms", perf_counter_ns() - began)


def took(name, ns):
    """Remember what a function has measured."""
    all_ns, times = MEASURED.get(name, (0, 0))
    MEASURED[name] = all_ns + ns, times + 1


TURNS = [
    (brief_half, reference_half),
    (brief_one, reference_one),
    (brief_two, reference_two),
    (brief_five, reference_five),
    (brief_nested, reference_one),
    (brief_with_c, reference_one),
]
# Of those that call others: the reference whose work they do, how often they do it themselves, and whom they call how
# often, where it is known what that takes.
OTHERS = {"nested": ("one", 1, ("half", 2)), "with_c": ("one", 2, None)}


def a_round():
    """All of them, in short turns: a machine is not equally fast all the time."""
    for _ in range(20):
        for brief, reference in TURNS:
            for _ in MANY:
                brief()
            reference()
    ten_ms()
    forty_ms()


def rounds(count):
    """So many rounds; what the long functions have measured of themselves in them, ns in all and how often."""
    MEASURED.clear()
    for _ in range(count):
        a_round()
    return MEASURED


def alone(count):
    """What those that call others take in all, told by a loop of who does the work once and calls nothing."""
    sums = {}
    for _ in range(20 * count):
        for brief, reference in TURNS:
            began = perf_counter_ns()
            for _ in MANY:
                brief()
            called = perf_counter_ns()
            reference()
            in_all, work = sums.get(brief.__name__, (0, 0))
            sums[brief.__name__] = in_all + called - began, work + perf_counter_ns() - called
    simple, work = sums["brief_one"]
    return {name: 1 + (sums["brief_" + name][0] - simple) / work for name in OTHERS}


def main():
    """Does rounds when it is told to, until stdin ends."""
    rounds(1)
    line_protocol.ready()
    line_protocol.serve({"rounds": rounds, "alone": alone})


if __name__ == "__main__":
    main()
