"""Processes that work, one below the other: an argument N is how many children each of which the first one forks.

Known: each spends its time in `leaf`, that `work` calls. "execute" replaces the program by itself, without children,
who end then; "children" answers their PIDs, "counters" how often the first one called `leaf`.
"""

import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

COUNTS = {"leaf": 0}


def leaf():
    """Some hundred lines."""
    COUNTS["leaf"] += 1
    total = 0
    for value in range(100):
        total += value
    return total


def work():
    """Never returns."""
    while True:
        leaf()


def execute():
    """Replaces the program by itself; does not return."""
    os.execv(sys.executable, [sys.executable, "-I", "-B", os.path.abspath(__file__)])  # noqa: S606 -- itself


def end_with(descriptor):
    """Ends this process when the other end of a pipe is closed."""
    os.read(descriptor, 1)
    os._exit(0)


def forked(count):
    """Starts children that work, and end with us; returns their PIDs."""
    children = []
    reading, writing = os.pipe()
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            os.close(writing)
            threading.Thread(target=end_with, args=(reading,), daemon=True).start()
            work()
        children.append(pid)
    return children


def main():
    """Ends with stdin."""
    children = forked(int(sys.argv[1]) if sys.argv[1:] else 0)
    line_protocol.serve_beside({"execute": execute, "children": lambda: children, "counters": lambda: COUNTS})
    line_protocol.ready()
    work()


if __name__ == "__main__":
    main()
