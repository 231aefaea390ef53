"""Recordings while signal handlers raise at any instant, threads come and go, and memory is short in every third."""

import random
import signal
import threading
import time

import measuring  # it sets the path for the others
from execd_agent import core
from execd_agent.collectors.nativecalls import NativeCalls
from loading_core import Stub, content

RECORDED_S = 0.03
# Of a signal after the other: no multiple of anything that the program does.
INTERVAL_S = 0.00037
LITTLE_BYTES = 20_000
SEED = 20261122


class Interrupt(MemoryError):
    """What the handler raises: of a kind that our own code may raise too."""


class Program:
    """What is interrupted: at most once each time that it is armed."""

    def __init__(self):
        self.is_armed = False
        self.worked = self.interrupted = self.raised = self.rounds = 0

    def handle(self, _number, _frame):
        """Raises where that is awaited."""
        if self.is_armed:
            self.is_armed = False
            self.raised += 1
            raise Interrupt

    def numbers(self, count):
        """A generator that is closed early."""
        try:
            yield from range(count)
        finally:
            len(())

    def work(self):
        """Calls of every kind, and of a function that is new each time."""
        self.worked += 1
        self.rounds += 1
        generator = self.numbers(5)
        next(generator)
        list(map(abs, [1, -2]))
        sorted([3, 1, 2], key=lambda number: -number)
        generator.close()
        namespace = {}
        exec(f"def made_{self.rounds}(): return 1", namespace)  # noqa: S102 - what nobody has met before
        namespace[f"made_{self.rounds}"]()

    def attempt(self):
        """Does it, and may be interrupted."""
        try:
            self.is_armed = True
            self.work()
            self.is_armed = False
        except Interrupt:
            self.interrupted += 1

    def beside(self):
        """The same in another thread, which no signal interrupts."""
        sorted([3, 1, 2], key=lambda number: -number)


def recording(agent, module, program, choose, *, max_memory_bytes):
    """One recording; its result, with what the program has counted meanwhile."""
    program.worked = program.interrupted = program.raised = 0

    def make():
        agent.collector = NativeCalls(module, {"max_memory_bytes": max_memory_bytes})

    agent.do(make)
    agent.start()
    until = time.monotonic() + RECORDED_S
    while time.monotonic() < until:
        program.attempt()
        if choose.random() < 0.1:
            thread = threading.Thread(target=program.beside)
            thread.start()
            thread.join()
    agent.do(agent.collector.poll)
    agent.stop()
    found = agent.result(worked=program.worked, interrupted=program.interrupted, raised=program.raised)
    agent.do(agent.collector.free)
    return found


def recordings(count):
    """So many, one after the other."""
    module, why = core.core_of(Stub(), content())
    agent, program = measuring.Agent(collector=Stub()), Program()
    choose = random.Random(SEED)  # noqa: S311 - the same in every run
    signal.signal(signal.SIGALRM, program.handle)
    signal.setitimer(signal.ITIMER_REAL, INTERVAL_S, INTERVAL_S)
    found = [
        recording(agent, module, program, choose, max_memory_bytes=0 if number % 3 else LITTLE_BYTES)
        for number in range(count)
    ]
    signal.setitimer(signal.ITIMER_REAL, 0)
    return {"why": why, "recordings": found}


if __name__ == "__main__":
    measuring.serve({"recordings": recordings})
