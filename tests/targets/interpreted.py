"""Two threads that compute without end, each in an interpreter of its own.

Known: "outside" is in the main one and "inside" in another one, which has a GIL of its own from 3.12 on.
"""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

# Up to 3.11 a thread that computes is not told that one of another interpreter waits for the lock: it lets go itself.
SHARED = sys.version_info < (3, 12)
INSIDE = """
import os, time
def inside():
    os.write({}, b"1")
    while True:
        sum(range(10000))
        if {}:
            time.sleep(0)
inside()
"""


def outside():
    """Never returns."""
    while True:
        sum(range(10000))
        if SHARED:
            time.sleep(0)


def main():
    """Ends with stdin."""
    begun, theirs = os.pipe()
    made = interpreters.create()
    arguments = (made, INSIDE.format(theirs, SHARED))
    threading.Thread(target=interpreters.run_string, args=arguments, daemon=True).start()
    os.read(begun, 1)
    line_protocol.serve_beside({"state": line_protocol.state})
    line_protocol.ready()
    outside()


if __name__ == "__main__":
    main()
