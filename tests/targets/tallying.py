"""A program that counts its own calls where they outlive it, in memory that somebody else may have open too.

"place" is the number of a descriptor of that memory: 8 bytes a thread, how often that thread has run `step`. "start N"
has N threads run it without end, "thread" is the system's number of one of them. "return N", "exit N", "abort N",
"fault N" and "execute N" have the main thread run it N times, and the program end after it in that way: executed is a
program that sleeps for a minute. "fork N" has a child run it N times, and answers with the child's status.
"""

import mmap
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

THREADS = 8
DESCRIPTOR = os.memfd_create("tally")
os.ftruncate(DESCRIPTOR, 8 * THREADS)
MEMORY = mmap.mmap(DESCRIPTOR, 8 * THREADS)
TALLY = memoryview(MEMORY).cast("Q")

SPINNING = []


def step(thread):
    """Counts itself."""
    TALLY[thread] += 1


def spin(thread):
    """Runs it without end."""
    SPINNING.append(threading.get_native_id())
    while True:
        step(thread)


def start(threads):
    """Threads that do."""
    for thread in range(threads):
        threading.Thread(target=spin, args=(thread,), name=f"spinning-{thread}", daemon=True).start()
    while len(SPINNING) < threads:
        time.sleep(0.001)
    return threads


def execute():
    """Another program, in our place."""
    os.execv(sys.executable, [sys.executable, "-S", "-c", "import time; time.sleep(60)"])  # noqa: S606


def fork(times):
    """A child that counts."""
    pid = os.fork()
    if pid == 0:
        for _ in range(times):
            step(0)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


ENDS = {
    "return": sys.exit,
    "exit": lambda: os._exit(3),
    "abort": os.abort,
    "fault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "execute": execute,
}


def ending(end):
    """An action that counts, and ends."""

    def action(times):
        for _ in range(times):
            step(0)
        end()

    return action


def main():
    """Serves until it ends."""
    line_protocol.ready()
    actions = {name: ending(end) for name, end in ENDS.items()}
    facts = {"place": lambda: DESCRIPTOR, "thread": lambda: SPINNING[0], "state": line_protocol.state}
    line_protocol.serve({"start": start, "fork": fork, **facts, **actions})


if __name__ == "__main__":
    main()
