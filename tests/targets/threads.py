"""Several threads, worker-0 to worker-(N-1), that work on command; N is the argument (4).

Known: on "run K" worker I calls `step` K * (I + 1) times, and each `step` calls `part` twice; the answer
is, for each thread, its calls and its own wall time in `loop`, as seen within and around it. "fresh K"
does the same in as many new threads, fresh-0 and so on, which end. "hooks" answers for each worker the
profile and trace function that it has. The main thread reads the commands; "state" answers what this process
holds.
"""

import os
import queue
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol


def part(n):
    """Some microseconds of arithmetic."""
    total = 0
    for value in range(50):
        total += value * n
    return total


def step(n):
    """Calls `part` twice."""
    return part(n) - part(n + 1)


def loop(calls):
    """Calls `step` so many times, and returns how long that took."""
    started = time.perf_counter()
    for n in range(calls):
        step(n)
    return time.perf_counter() - started


def measured(index, calls_of_first):
    """Runs one thread's share and says what it did."""
    calls = calls_of_first * (index + 1)
    started = time.perf_counter()
    within_s = loop(calls)
    wall_s = time.perf_counter() - started
    return {"name": threading.current_thread().name, "calls": calls, "within_s": within_s, "wall_s": wall_s}


def hooks():
    """What the calling thread is measured with."""
    return {"name": threading.current_thread().name, "functions": [repr(sys.getprofile()), repr(sys.gettrace())]}


def work(index, orders, results):
    """The body of a worker: waits, works, reports, for ever."""
    while True:
        calls_of_first = orders.get()
        results.put(hooks() if calls_of_first is None else measured(index, calls_of_first))


class Workers:
    """Threads that wait for orders."""

    def __init__(self, count):
        self.orders = [queue.SimpleQueue() for _ in range(count)]
        self.results = queue.SimpleQueue()
        for index, orders in enumerate(self.orders):
            name = f"worker-{index}"
            threading.Thread(target=work, args=(index, orders, self.results), name=name, daemon=True).start()

    def run(self, calls_of_first):
        """Lets every worker work once, and waits for all."""
        for orders in self.orders:
            orders.put(calls_of_first)
        return self.collect()

    def fresh(self, calls_of_first):
        """The same in new threads."""
        threads = [
            threading.Thread(
                target=lambda index=index: self.results.put(measured(index, calls_of_first)),
                name=f"fresh-{index}",
            )
            for index in range(len(self.orders))
        ]
        for thread in threads:
            thread.start()
        answers = self.collect()
        for thread in threads:
            thread.join()
        return answers

    def collect(self):
        """As many results as there are workers, by name."""
        return sorted((self.results.get() for _ in self.orders), key=lambda result: result["name"])


def main():
    """Ends with stdin."""
    workers = Workers(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
    line_protocol.ready()
    actions = {"run": workers.run, "fresh": workers.fresh, "hooks": lambda: workers.run(None)}
    line_protocol.serve({**actions, "state": line_protocol.state})


if __name__ == "__main__":
    main()
