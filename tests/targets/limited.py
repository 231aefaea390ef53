"""A main thread that reads, in a process that is at a limit of its own.

The first argument says which: "descriptors" (RLIMIT_NOFILE, all numbers below it in use), "memory" (RLIMIT_AS, next to
nothing left), "threads" (RLIMIT_NPROC, as another user where it is root's), "cpu" (RLIMIT_CPU, less than a second
left), "none". A second argument is how many descriptors are left. Known: "count" answers how many commands it has read,
"state" what it holds. Nothing is written to stderr.
"""

import ctypes
import os
import resource
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

DESCRIPTORS = 64
LEFT_BYTES = 4 << 20
NOBODY = 65534
USED_CPU_S = 0.1
PR_SET_DUMPABLE = 4


def use_up_descriptors(left):
    """Opens what can be opened, but for so many."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    return [os.dup(0) for _ in range(DESCRIPTORS - len(os.listdir("/proc/self/fd")) + 1 - left)]


def leave_address_space(count):
    """Lets the process map so many bytes more."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + count, used + count))


def leave_cpu_time():
    """Lets the process compute for less than a second more; it has used as much as its kernel tells, in 1/100 s."""
    while time.process_time() < USED_CPU_S:
        pass
    resource.setrlimit(resource.RLIMIT_CPU, (1, 2))


def allow_no_thread():
    """Has as many threads as its user may have; root may always have more."""
    if os.getuid() == 0:
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        # Else /proc/self is root's from here on.
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))


class Counter:
    """Counts commands."""

    def __init__(self):
        self.commands = 0

    def count(self):
        """One more."""
        self.commands += 1
        return self.commands


def main():
    """Ends with stdin."""
    counter = Counter()
    left = int(sys.argv[2]) if sys.argv[2:] else 0
    limits = {
        "descriptors": lambda: use_up_descriptors(left),
        "memory": lambda: leave_address_space(LEFT_BYTES),
        "threads": allow_no_thread,
        "cpu": leave_cpu_time,
        "none": lambda: None,
    }
    # What answering needs is there before.
    line_protocol.state()
    kept = limits[sys.argv[1]]()
    line_protocol.ready()
    line_protocol.serve({"count": counter.count, "state": line_protocol.state, "kept": lambda: len(kept or ())})


if __name__ == "__main__":
    main()
