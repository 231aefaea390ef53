"""The main thread computes, and sleeps for an instant now and then, under a filter that ends it for restart_syscall.

That call is what the kernel goes on with where a stop has interrupted a sleep. "counters" answers how often it slept.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import filtered
import line_protocol

RESTART_SYSCALL = 219
COUNTS = {"slept": 0}
PASSES, SLEEP_S = 20000, 0.0005


def leaf():
    """Calls nothing."""
    return


def work():
    """Many short calls, and one sleep."""
    for _ in range(PASSES):
        leaf()
    time.sleep(SLEEP_S)
    COUNTS["slept"] += 1


def main():
    """Ends with stdin."""
    filtered.install("kill", RESTART_SYSCALL)
    line_protocol.serve_beside({"counters": lambda: COUNTS, "state": line_protocol.state})
    line_protocol.ready()
    while True:
        work()


if __name__ == "__main__":
    main()
