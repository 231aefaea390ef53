"""Threads with names of every kind, each of which waits for ever.

Known: "names" answers, for every thread that the threading module knows, [its kernel id, its ident, its name]. "rename"
gives each of them but the main one another name, and answers the same. "native" answers the kernel id of a thread that
the threading module does not know; the kernel calls it NATIVE. "churn" starts threads called "short" that end at once,
for ever, and answers null.
"""

import _thread
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

NATIVE = "from-c"
LONG = "long " * 2000
NAMES = ("plain", "größe \u4e2d\u6587 \U0001f600", "lone \ud800 surrogate", "\x1b[31mred\n", "", LONG)
STARTED = threading.Event()
NEVER = threading.Event()
IDS = []


class Own(threading.Thread):
    """A class of a program's own, with attributes before and after those of the threading module."""

    def __init__(self, name):
        self.before = 1
        super().__init__(name=name, daemon=True)
        self.after = 2

    def run(self):
        """Waits."""
        NEVER.wait()


class Slotted(threading.Thread):
    """One with a slot."""

    __slots__ = ("slot",)


def crowded(name):
    """A thread with more attributes than its class keeps for all."""
    thread = Own(name)
    for number in range(100):
        setattr(thread, f"attribute_{number}", number)
    return thread


def asked_for_its_dict(name):
    """A thread whose dict somebody has, and has changed."""
    thread = Own(name)
    vars(thread)["other"] = 1
    return thread


def native():
    """What a thread of C code would be."""
    IDS.append(threading.get_native_id())
    with open("/proc/thread-self/comm", "w", encoding="ascii") as file:
        file.write(NATIVE)
    STARTED.set()
    lock = _thread.allocate_lock()
    lock.acquire()
    lock.acquire()


def deep(depth):
    """Waits deep down."""
    if depth:
        deep(depth - 1)
    NEVER.wait()


def names():
    """What the threading module says."""
    return [[thread.native_id, thread.ident, thread.name] for thread in threading.enumerate()]


def rename():
    """Each gets another name."""
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.name = f"renamed {thread.name}"
    return names()


def churn():
    """Threads that come and go."""

    def starter():
        while True:
            thread = threading.Thread(target=int, name="short", daemon=True)
            thread.start()
            thread.join()

    threading.Thread(target=starter, name="starter", daemon=True).start()


def main():
    """Ends with stdin."""
    kinds = [threading.Thread(target=NEVER.wait, name=name, daemon=True) for name in NAMES]
    kinds += [Own("own"), Slotted(target=NEVER.wait, name="slotted", daemon=True)]
    kinds += [crowded("crowded"), asked_for_its_dict("asked for its dict")]
    kinds.append(threading.Thread(target=deep, args=(300,), name="deep", daemon=True))
    for thread in kinds:
        thread.start()
    _thread.start_new_thread(native, ())
    STARTED.wait()
    line_protocol.serve_beside({"names": names, "rename": rename, "native": lambda: IDS[0], "churn": churn})
    line_protocol.ready()
    NEVER.wait()


if __name__ == "__main__":
    main()
