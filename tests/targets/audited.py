"""A program with an audit hook that gives the interpreter's lock away, and threads that live for an instant.

Known: "work" answers how many threads have ended.
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


def main():
    """Ends with stdin."""
    log = os.open(os.devnull, os.O_WRONLY)
    sys.addaudithook(lambda event, _arguments: os.write(log, event.encode()))
    ended = itertools.count()
    threading.Thread(target=start_threads, args=(ended,), daemon=True).start()
    line_protocol.serve_beside({"work": lambda: int(repr(ended)[len("count(") : -1])})
    line_protocol.ready()
    threading.Event().wait()


if __name__ == "__main__":
    main()
