"""The main thread is blocked in lock.acquire, a second one in a read.

Known: each "release" lets the main thread take the lock once more, run one pass of the workload, and block
again; its answer is how often that has happened, given when it has. "state" answers what this process holds.
"""

import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol
import workload


class Turnstile:
    """A lock that is taken for good by its own thread, until another one lets it pass once."""

    def __init__(self):
        self.lock = threading.Lock()
        self.lock.acquire()
        self.passed = threading.Semaphore(0)
        self.count = 0

    def enter(self):
        """Blocks until `release`; called by the main thread."""
        self.lock.acquire()
        self.count += 1
        workload.run()
        self.passed.release()

    def release(self):
        """Lets the main thread pass once, waits until it has; called by the other thread."""
        self.lock.release()
        self.passed.acquire()
        return self.count


def main():
    """Never returns."""
    turnstile = Turnstile()
    line_protocol.serve_beside({"release": turnstile.release, "state": line_protocol.state})
    line_protocol.ready()
    while True:
        turnstile.enter()


if __name__ == "__main__":
    main()
