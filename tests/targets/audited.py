"""A program with an audit hook that gives the interpreter's lock away, and threads that live for an instant.

Started with "later" it has the hook when it is told to "listen". Known: "work" answers how many threads have ended;
"profilers" how many of those that were started first have a profile function, "tracers" a trace function.
"""

import _thread
import itertools
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

LIFE_S = 0.0002
PAUSE_S = 0.0005
AT_ONCE = 4


def child(ended):
    """A thread's life."""
    for _ in range(20):
        len("")
    time.sleep(LIFE_S)
    next(ended)


def start_threads(ended):
    """Starts them without end."""
    while True:
        for _ in range(AT_ONCE):
            _thread.start_new_thread(child, (ended,))
        time.sleep(PAUSE_S)


class Staying:
    """A thread that stays, and tells what it has when it is asked."""

    def __init__(self):
        self.asked, self.answered = threading.Event(), threading.Event()
        self.has = None
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        """Ends with the process."""
        while True:
            self.asked.wait()
            self.asked.clear()
            self.has = (sys.getprofile() is not None, sys.gettrace() is not None)
            self.answered.set()

    def tell(self):
        """Whether it has a profile function, and a trace function."""
        self.answered.clear()
        self.asked.set()
        self.answered.wait()
        return self.has


def main():
    """Ends with stdin."""
    log = os.open(os.devnull, os.O_WRONLY)

    def listen():
        sys.addaudithook(lambda event, _arguments: os.write(log, event.encode()))

    if sys.argv[1:] != ["later"]:
        listen()
    ended = itertools.count()
    staying = [Staying() for _ in range(AT_ONCE)]
    threading.Thread(target=start_threads, args=(ended,), daemon=True).start()
    line_protocol.serve_beside(
        {
            "work": lambda: int(repr(ended)[len("count(") : -1]),
            "listen": listen,
            "profilers": lambda: sum(one.tell()[0] for one in staying),
            "tracers": lambda: sum(one.tell()[1] for one in staying),
        }
    )
    line_protocol.ready()
    threading.Event().wait()


if __name__ == "__main__":
    main()
