"""The main thread runs bytecode for ever.

Known: `outer` calls `middle` 3 times, `middle` calls `leaf` 4 times, COUNTS holds how often each was entered.
"counters" answers COUNTS, "state" what this process holds; a second thread, blocked in a read, answers.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

COUNTS = {"outer": 0, "middle": 0, "leaf": 0}


def leaf(n):
    """A few lines of arithmetic."""
    COUNTS["leaf"] += 1
    total = 0
    for value in range(5):
        total += value * n
    return total


def middle(n):
    """Calls `leaf` 4 times."""
    COUNTS["middle"] += 1
    return leaf(n) + leaf(n + 1) + leaf(n + 2) + leaf(n + 3)


def outer(n):
    """Calls `middle` 3 times."""
    COUNTS["outer"] += 1
    return middle(n) + middle(n + 1) + middle(n + 2)


def main():
    """Never returns."""
    line_protocol.serve_beside({"counters": lambda: COUNTS, "state": line_protocol.state})
    line_protocol.ready()
    n = 0
    while True:
        n = outer(n) % 1000


if __name__ == "__main__":
    main()
