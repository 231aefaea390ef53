"""Functions whose possible callers are known, called in turn as fast as it goes; a second thread sleeps.

usage: alternating.py [short|recursive|generators]. Known: who calls whom, in CALLS.
"""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

CALLS = {
    "short": {
        "short": {"longer", "some"},
        "longer": {"spin"},
        "some": {"one", "other"},
        "one": {"first"},
        "other": {"second"},
    },
    "recursive": {"recursive": {"down"}, "down": {"down", "spin"}},
    "generators": {"generators": {"numbers", "other"}, "numbers": {"spin"}, "other": {"second"}},
}
LONG_S = 1000.0
DEPTH = 20


def spin(count):
    """Calls nothing."""
    number = 0
    while number < count:
        number += 1


def longer():
    """About 20 us."""
    spin(600)


def first():
    """As short as it gets."""


def one():
    """Calls it."""
    first()


def second():
    """As short, too."""


def other():
    """Calls it."""
    second()


def some():
    """Calls both in turn."""
    for _ in range(10):
        one()
        other()


def short():
    """A long one and short ones."""
    longer()
    some()


def down(depth):
    """Its whole stack comes and goes."""
    if depth:
        down(depth - 1)
    else:
        spin(40)


def recursive():
    """Deep down and back."""
    down(DEPTH)


def numbers():
    """A generator, whose frame lies elsewhere."""
    for number in range(50):
        spin(30)
        yield number


def generators():
    """Resumes it."""
    for _ in numbers():
        other()


def main():
    """Goes on until stdin ends."""
    threading.Thread(target=time.sleep, args=(LONG_S,), daemon=True).start()
    line_protocol.ready()
    line_protocol.serve_beside({"state": line_protocol.state})
    work = globals()[sys.argv[1] if sys.argv[1:] else "short"]
    while True:
        work()


if __name__ == "__main__":
    main()
