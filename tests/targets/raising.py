"""A signal handler that raises, in a main thread that runs bytecode.

Known: every SIGUSR1 that finds the program outside its `except` raises one Interruption, and each of those
is caught: "counters" answers raised and caught, which are equal unless the program was asked in between. An
argument is an interval in microseconds at which SIGALRM does the same by itself. "state" answers what this
process holds.
"""

import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

SIGNALS = (signal.SIGUSR1, signal.SIGALRM)


class Interruption(BaseException):
    """Raised by the handler; nothing that catches Exception may swallow it."""


class Interruptible:
    """Work that a signal handler interrupts by raising."""

    def __init__(self):
        self.armed = False
        self.raised = 0
        self.caught = 0

    def interrupt(self, _number, _frame):
        """The handler."""
        if self.armed:
            self.armed = False
            self.raised += 1
            raise Interruption

    def work(self):
        """Runs until it is interrupted, for ever."""
        while True:
            try:
                # Inside the try: from here on, and only from here on, an exception is caught below.
                # What was sent since "ready" was said has waited, blocked, for the first pass.
                self.armed = True
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
                burn()
            except Interruption:
                self.caught += 1

    def counters(self):
        """How often the handler raised, and how often that was caught."""
        return {"raised": self.raised, "caught": self.caught}


def burn():
    """Bytecode for ever."""
    n = 0
    while True:
        n = increment(n) % 1000


def increment(n):
    """Gives `burn` something to call."""
    return n + 1


def main():
    """Never returns."""
    interruptible = Interruptible()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    for number in SIGNALS:
        signal.signal(number, interruptible.interrupt)
    line_protocol.serve_beside({"counters": interruptible.counters, "state": line_protocol.state})
    if len(sys.argv) > 1:
        interval_s = int(sys.argv[1]) / 1e6
        signal.setitimer(signal.ITIMER_REAL, interval_s, interval_s)
    line_protocol.ready()
    interruptible.work()


if __name__ == "__main__":
    main()
