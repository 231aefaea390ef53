"""What the calls collector records of several threads, old, new, ended, and not of the threading module."""

import _thread
import json
import os
import sys
import threading
import time

import measuring
from execd_agent.collectors import nativecalls


def part(value):
    """A little arithmetic."""
    return value * value


def step(value):
    """Calls `part` twice."""
    return part(value) - part(value + 1)


def work(calls):
    """Calls `step` so many times."""
    for value in range(calls):
        step(value)


class Workers:
    """Threads that work on order; the n-th, from 0, calls `step` (n + 1) times as often as the first."""

    def __init__(self, count):
        self.orders = [threading.Semaphore(0) for _ in range(count)]
        self.finished = threading.Semaphore(0)
        self.calls = 0
        for index in range(count):
            threading.Thread(target=self.serve, args=(index,), name=f"worker-{index}", daemon=True).start()

    def serve(self, index):
        """The body of a worker."""
        while True:
            self.orders[index].acquire()
            if self.calls < 0:
                break
            work(self.calls * (index + 1))
            self.finished.release()

    def run(self, calls):
        """Lets all work, and waits."""
        self.calls = calls
        for order in self.orders:
            order.release()
        for _ in self.orders:
            self.finished.acquire()


def old_threads(count, calls):
    """Threads that ran before the start."""
    workers = Workers(count)
    workers.run(1)
    return measuring.measured(lambda: workers.run(calls))


def new_threads(count, calls):
    """Threads that are started while it records, and end before it stops."""

    def action():
        threads = [
            threading.Thread(target=work, args=(calls * (index + 1),), name=f"fresh-{index}") for index in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return measuring.measured(action)


def one_after_another(count, calls):
    """As many threads in turn, of one name; each is given the number of the one before it."""

    def action():
        idents = set()
        for _ in range(count):
            thread = threading.Thread(target=work, args=(calls,), name="request")
            thread.start()
            idents.add(thread.ident)
            thread.join()
        return len(idents)

    return measuring.measured(action)


def late_threads(count, calls, pause_ms):
    """Threads in turn, each a while after the start: how long each lived, in nanoseconds."""
    lives_ns = []

    def action():
        for index in range(count):
            time.sleep(pause_ms / 1000)
            began_ns = time.perf_counter_ns()
            thread = threading.Thread(target=work, args=(calls,), name=f"late-{index}")
            thread.start()
            thread.join()
            lives_ns.append(time.perf_counter_ns() - began_ns)

    return {**measuring.measured(action), "lives_ns": lives_ns}


def bare_threads(count, calls):
    """Threads of `_thread` in turn, each found by `poll` before it works."""
    agent = measuring.Agent()

    def serve(ready, go, done):
        ready.release()
        go.acquire()
        work(calls)
        done.release()
        go.acquire()

    agent.start()
    idents = set()
    for _ in range(count):
        ready, go, done = (threading.Semaphore(0) for _ in range(3))
        idents.add(_thread.start_new_thread(serve, (ready, go, done)))
        ready.acquire()
        agent.do(agent.collector.poll)
        go.release()
        done.acquire()
        go.release()
        wait_for_the_end_of_bare_threads()
        agent.do(agent.collector.poll)
    agent.stop()
    return agent.result(value=len(idents))


def wait_for_the_end_of_bare_threads():
    """Until no thread is left that the threading module does not know and no thread of it is running that way."""
    while _thread._count() > threading.active_count() - 1:
        threading.Event().wait(0.001)


def snapshots_of_busy_threads(count, snapshots):
    """Snapshots while threads work that get the GIL in the midst of each."""
    workers = Workers(count)
    workers.calls = 2_000
    sys.setswitchinterval(1e-6)
    agent = measuring.Agent()
    agent.start()
    for order in workers.orders:
        order.release()
    tables = []
    for _ in range(snapshots):
        agent.do(lambda: tables.append(agent.result()["table"]))
    for _ in workers.orders:
        workers.finished.acquire()
    agent.stop()
    return agent.result(tables=tables)


def started_unheard(count, calls):
    """Threads in turn, started by one that is not recorded: between them nothing is heard of any other."""
    agent = measuring.Agent()
    agent.start()

    def in_turn():
        before = len(os.listdir("/proc/self/task"))
        for _ in range(count):
            _thread.start_new_thread(work, (calls,))
            while len(os.listdir("/proc/self/task")) > before:
                time.sleep(0.001)

    agent.do(in_turn)
    agent.stop()
    return agent.result()


def resumed_as_it_ends(count):
    """Where a thread is is asked, and known when it has ended, and so many others, whose places are given to others."""
    workers = Workers(1)
    thread = next(one for one in threading.enumerate() if one.name == "worker-0")
    agent = measuring.Agent()
    agent.start()
    workers.run(1)
    described, ended = nativecalls._described_code, []

    def in_turn():
        for _ in range(count):
            one = threading.Thread(target=work, args=(1,), name="request")
            one.start()
            one.join()

    def slowly(code):
        if code is never.__code__ and not ended:
            ended.append(code)
            workers.calls = -1
            workers.orders[0].release()
            thread.join()
            asked.release()
            answered.acquire()
        return described(code)

    asked, answered = threading.Semaphore(0), threading.Semaphore(0)
    nativecalls._described_code = slowly
    codes = tuple(_codes(Workers.serve, never))
    agent._order = lambda: agent.collector._core.resume(thread.ident, codes, 0)
    agent._ordered.release()
    asked.acquire()
    in_turn()
    answered.release()
    agent._done.acquire()
    in_turn()
    agent.stop()
    return agent.result()


def _codes(*functions):
    return [function.__code__ for function in functions]


def never():
    """Nobody calls it."""


def in_child(calls):
    """What a child records of its only thread."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        with open(writes, "w", encoding="ascii") as told:
            json.dump(measuring.measured(lambda: work(calls)), told)
        os._exit(0)
    os.close(writes)
    with open(reads, encoding="ascii") as told:
        result = json.load(told)
    os.waitpid(pid, 0)
    return result


def silent(calls):
    """A thread that has no event while it is recorded."""
    workers = Workers(1)
    workers.run(1)
    return measuring.measured(lambda: work(calls))


if __name__ == "__main__":
    measuring.serve(
        {
            "old_threads": old_threads,
            "new_threads": new_threads,
            "one_after_another": one_after_another,
            "late_threads": late_threads,
            "bare_threads": bare_threads,
            "started_unheard": started_unheard,
            "resumed_as_it_ends": resumed_as_it_ends,
            "in_child": in_child,
            "silent": silent,
            "snapshots_of_busy_threads": snapshots_of_busy_threads,
        }
    )
