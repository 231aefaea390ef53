"""A program that ends, in the way that its first argument names, as soon as stdin says so; it writes "bye" at its end.

"return", "exit" (sys.exit(3) in the main thread), "thread" (sys.exit in a second thread first, then a return), "abrupt"
(os._exit(4), no "bye"), "slow" (an atexit function that computes for 100 ms), "daemons" (daemon threads that compute
still) or "waits" (a thread that is no daemon ends 50 ms later). Known: the exit code is 0 where none is named.
"""

import atexit
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

SLOW_S, LATER_S = 0.1, 0.05
DAEMONS = 3


def compute(seconds):
    """Bytecode for so long."""
    end = time.monotonic() + seconds
    n = 0
    while time.monotonic() < end:
        n = (n + 1) % 1000


def start(function, *arguments, daemon=False):
    """Starts a thread."""
    thread = threading.Thread(target=function, args=arguments, daemon=daemon)
    thread.start()
    return thread


def main():
    """Returns, or not."""
    way = sys.argv[1] if len(sys.argv) > 1 else "return"
    if way != "abrupt":
        atexit.register(line_protocol.say, "bye")
    if way == "slow":
        atexit.register(compute, SLOW_S)
    if way == "daemons":
        for _ in range(DAEMONS):
            start(compute, float("inf"), daemon=True)
    line_protocol.ready()
    os.read(line_protocol.STDIN_FD, 1)
    if way == "exit":
        sys.exit(3)
    if way == "thread":
        start(sys.exit, 5).join()
    if way == "abrupt":
        os._exit(4)
    if way == "waits":
        start(compute, LATER_S)


if __name__ == "__main__":
    main()
