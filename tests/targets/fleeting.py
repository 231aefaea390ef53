"""Threads that make objects which end with the call that made them; no collection of cycles ever comes to their aid.

Known: "kept" answers how many objects there are beyond the one of each thread's call, and how many have ended in a
thread that did not make them.
"""

import gc
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

THREADS = 3
STEP_S = 0.002


class Fleeting:
    """Knows its thread, and whether it ends there."""

    alive = 0
    ended_elsewhere = 0
    lock = threading.Lock()

    def __init__(self):
        self.ident = threading.get_ident()
        with Fleeting.lock:
            Fleeting.alive += 1

    def __del__(self):
        with Fleeting.lock:
            Fleeting.alive -= 1
            Fleeting.ended_elsewhere += self.ident != threading.get_ident()


def hold():
    """A call with an object, in which a thread waits."""
    fleeting = Fleeting()
    time.sleep(STEP_S)
    return fleeting is None


def work():
    """What each thread does."""
    while True:
        hold()


def kept():
    """The objects that should have ended by now, and those that ended in another thread."""
    deadline = time.monotonic() + 1
    while Fleeting.alive > THREADS and time.monotonic() < deadline:
        time.sleep(STEP_S / 7)
    return [max(Fleeting.alive - THREADS, 0), Fleeting.ended_elsewhere]


def main():
    """Works until stdin ends."""
    gc.disable()
    for _ in range(THREADS):
        threading.Thread(target=work, daemon=True).start()
    line_protocol.ready()
    line_protocol.serve({"kept": kept})


if __name__ == "__main__":
    main()
