"""What is left of native recordings that were opened, begun, ended and closed again and again in one process."""

import ctypes
import gc
import os
import sys
import threading
import time

import measuring  # it sets the path for the others
from execd_agent import core
from execd_agent.collectors.nativecalls import NativeCalls
from loading_core import Stub, content

# The main one and the agent's.
OWN_THREADS = 2
GONE_S = 20.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Blocks(ctypes.Structure):
    """What malloc has given out (mallinfo2 of glibc 2.33)."""

    # arena, ordblks, smblks, hblks; usmblks, fsmblks; fordblks, keepcost.
    _fields_ = [
        ("before", ctypes.c_size_t * 4),
        ("mapped", ctypes.c_size_t),
        ("between", ctypes.c_size_t * 2),
        ("given", ctypes.c_size_t),
        ("after", ctypes.c_size_t * 2),
    ]


class Worker:
    """Has what is called in a cycle: a method, a generator, C functions, and what raises."""

    def numbers(self, count):
        """A generator that is not exhausted."""
        yield from range(count)

    def raising(self, depth):
        """Raises from below."""
        return self.raising(depth - 1) if depth else int("no number")

    def work(self):
        """Calls of every kind."""
        found = []
        generator = self.numbers(5)
        next(generator)
        found.append(next(generator))
        try:
            list(map(self.raising, [1, 2]))
        except ValueError as error:
            found.append(str(error))
        return len(found)


WATCHED = (None, len, list.append, Worker, Worker.work, Worker.work.__code__, Worker.numbers.__code__, type, ValueError)


def file_lines(path):
    """How many lines a file of the kernel's has."""
    with open(path) as lines:
        return sum(1 for _ in lines)


def malloc_bytes():
    """How much malloc has given out, 0 where it does not say."""
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return 0
    mallinfo.restype = Blocks
    found = mallinfo()
    return found.given + found.mapped


def resident_bytes():
    """How much memory of the process is resident."""
    with open("/proc/self/statm") as numbers:
        return int(numbers.read().split()[1]) * PAGE_BYTES


def threads():
    """How many threads the system has of this process."""
    return len(os.listdir("/proc/self/task"))


def rest():
    """What the process has when the threads of the last cycle have gone: up to 3.12 they are joined a moment before."""
    deadline = time.monotonic() + GONE_S
    while threads() > OWN_THREADS and time.monotonic() < deadline:
        time.sleep(0.01)
    gc.collect()
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "mappings": file_lines("/proc/self/maps"),
        "threads": threads(),
        "objects": len(gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
        "references": [sys.getrefcount(one) for one in WATCHED],
        "malloc_bytes": malloc_bytes(),
        "resident_bytes": resident_bytes(),
    }


def cycle(agent, module, worker):
    """One recording, from open to close; how often `work` was called in it."""

    def make():
        agent.collector = NativeCalls(module, {})

    agent.do(make)
    agent.start()
    beside = threading.Thread(target=worker.work)
    beside.start()
    worker.work()
    beside.join()
    agent.stop()
    agent.do(agent.collector.snapshot)
    agent.do(agent.collector.free)


def cycles(warm, count):
    """What there is after the first cycles, and after as many more as are asked for."""
    module, why = core.core_of(Stub(), content())
    # Made with a collector that is never begun, so that the first is made like all others.
    agent, worker = measuring.Agent(collector=Worker()), Worker()
    for _ in range(warm):
        cycle(agent, module, worker)
    before = rest()
    for _ in range(count):
        cycle(agent, module, worker)
    return {"why": why, "before": before, "after": rest()}


if __name__ == "__main__":
    measuring.serve({"cycles": cycles})
