"""A main thread that reads, and calls functions on so many different ways that a record of them would be large.

Known: "grow DEPTH" makes every sequence of DEPTH calls of `left` and `right` once, and answers how many calls that
were: 2 ** (DEPTH + 1) - 2, each with a stack of its own. "state" answers what the process holds. Nothing is written
to stderr.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol


def left(depth):
    """Goes on both ways."""
    return 1 + (left(depth - 1) + right(depth - 1) if depth > 1 else 0)


def right(depth):
    """Does the same."""
    return 1 + (left(depth - 1) + right(depth - 1) if depth > 1 else 0)


def grow(depth):
    """Goes all ways."""
    return left(depth) + right(depth)


def main():
    """Ends with stdin."""
    line_protocol.state()
    line_protocol.ready()
    line_protocol.serve({"grow": grow, "state": line_protocol.state})


if __name__ == "__main__":
    main()
