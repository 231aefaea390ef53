"""Threads with small stacks.

The first argument is the stack size in KiB of every thread but the main one (256), the second how many there are (2):
half of them compute, half sleep. With a third argument the main thread's stack may be so many KiB large. Known:
"counters" answers how often all of them have gone round; "state" what the process holds. Nothing goes to stderr.
"""

import os
import resource
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol


class Thread:
    """One that goes round."""

    def __init__(self, pause_s):
        self.pause_s = pause_s
        self.rounds = 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        """For ever."""
        while True:
            self.rounds += 1
            time.sleep(self.pause_s)


def main():
    """Ends with stdin."""
    size_kib, count = (int(word) for word in (sys.argv[1:3] or ["256", "2"]))
    if sys.argv[3:]:
        hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
        resource.setrlimit(resource.RLIMIT_STACK, (int(sys.argv[3]) << 10, hard))
    threading.stack_size(size_kib << 10)
    threads = [Thread(0.01 * (number % 2)) for number in range(count)]
    line_protocol.ready()
    line_protocol.serve({"counters": lambda: sum(one.rounds for one in threads), "state": line_protocol.state})


if __name__ == "__main__":
    main()
