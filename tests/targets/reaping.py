"""One thread that starts children without pause; the handler of SIGCHLD reaps them, and a timer fires every 3 ms.

Known: "results" answers how many were started and reaped, and how often the timer's handler ran; "end" starts no more,
waits until all are reaped and the timer has fired once more, and answers the same. Nothing is written to stderr.
"""

import os
import select
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

INTERVAL_S = 0.003
CHILDREN_AT_ONCE = 8
LONGEST_WAIT_S = 10.0


class Reaper:
    """The children, and what the handlers have counted."""

    def __init__(self):
        self.started, self.reaped, self.ticks = 0, 0, 0

    def reap(self, _number, _frame):
        """The handler of SIGCHLD; one signal may stand for several children."""
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.reaped += 1

    def tick(self, _number, _frame):
        """The handler of SIGALRM."""
        self.ticks += 1

    def start_one(self):
        """Starts a child that ends at once."""
        self.started += 1
        os.posix_spawn("/bin/true", ["true"], {})

    def results(self):
        """What has been counted so far."""
        return {"started": self.started, "reaped": self.reaped, "ticks": self.ticks}

    def end(self):
        """Waits for the last children, and for one more tick."""
        deadline, ticks = time.monotonic() + LONGEST_WAIT_S, self.ticks
        while (self.reaped < self.started or self.ticks == ticks) and time.monotonic() < deadline:
            time.sleep(INTERVAL_S)
        return self.results()


def main():
    """Ends with stdin."""
    reaper = Reaper()
    signal.signal(signal.SIGCHLD, reaper.reap)
    signal.signal(signal.SIGALRM, reaper.tick)
    signal.setitimer(signal.ITIMER_REAL, INTERVAL_S, INTERVAL_S)
    line_protocol.ready()
    while True:
        # Waits for a command, or a little; a handler may have run meanwhile.
        if select.select([line_protocol.STDIN_FD], [], [], INTERVAL_S)[0]:
            line = os.read(line_protocol.STDIN_FD, line_protocol.CHUNK_BYTES)
            if not line:
                return
            line_protocol.answer(line.decode("ascii").strip(), {"results": reaper.results, "end": reaper.end})
        if reaper.started - reaper.reaped < CHILDREN_AT_ONCE:
            reaper.start_one()


if __name__ == "__main__":
    main()
