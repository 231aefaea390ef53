"""A process with a second copy of CPython's library, which it loads and never starts.

Known: the argument is the library's path; without one there is no copy.
"count" answers how many commands were read, "state" what this holds.
"""

import ctypes
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

COUNT = [0]


def count():
    """One more command."""
    COUNT[0] += 1
    return COUNT[0]


def main():
    """Ends with stdin."""
    ctypes.CDLL(sys.argv[1] if len(sys.argv) > 1 else None)
    line_protocol.ready()
    line_protocol.serve({"count": count, "state": line_protocol.state})


if __name__ == "__main__":
    main()
