"""A program that profiles known work with a tool of its own while it is attached to.

Known: "cprofile-on" and "listener-on" start such a tool, in every thread where it is one of a thread's; "work N" does N
passes in the main thread and one in each other one, which are as many as the command line says, one thread after the
other; "off" stops it and answers all that it has found, but for times: cProfile each function with its calls, its
primitive calls and its callers, a profile function each event. "toil" says so, and works under cProfile until SIGUSR1
comes; it answers how many passes it has done and what was found.
"""

import cProfile
import os
import signal
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol
import workload

HEARS_ALL_THREADS = sys.version_info >= (3, 12)


class Profiled:
    """cProfile. From 3.12 on there is one for all threads."""

    def __init__(self):
        self.profiler = cProfile.Profile()

    def on(self):
        """Starts it."""
        self.profiler.enable()

    def off(self):
        """All that it lists."""
        self.profiler.disable()
        self.profiler.create_stats()
        return sorted(
            [named(key), calls, primitive, sorted([named(caller), *row[:2]] for caller, row in callers.items())]
            for key, (primitive, calls, _own, _total, callers) in self.profiler.stats.items()
        )


class Listened:
    """A profile function."""

    def __init__(self):
        self.counts = {}

    def on(self):
        """Starts it."""
        sys.setprofile(self.listen)

    def listen(self, frame, event, argument):
        """Counts every event."""
        what = argument.__name__ if event.startswith("c_") else frame.f_code.co_name
        key = event, os.path.basename(frame.f_code.co_filename), what
        self.counts[key] = self.counts.get(key, 0) + 1

    def off(self):
        """All that it has heard."""
        sys.setprofile(None)
        return sorted([*key, count] for key, count in self.counts.items())


def named(key):
    """A function as cProfile names it, by its file's name alone."""
    file, line, name = key
    return [os.path.basename(file), line, name]


class Worker:
    """A thread that does what it is told to, one thing at a time."""

    def __init__(self):
        self.ordered, self.done = threading.Lock(), threading.Lock()
        self.ordered.acquire()
        self.done.acquire()
        threading.Thread(target=self.run, daemon=True).start()

    def do(self, order):
        """Has it do something, and waits."""
        self.order = order
        self.ordered.release()
        self.done.acquire()

    def run(self):
        """Does what comes."""
        while True:
            self.ordered.acquire()
            self.order()
            self.done.release()


class Running:
    """The tools that are on, and the threads."""

    def __init__(self, threads):
        self.workers = [Worker() for _ in range(threads)]
        self.tools = []

    def on(self, kind):
        """Starts one here, and in each thread where it hears its own thread alone."""
        everywhere = kind is Listened or not HEARS_ALL_THREADS
        self.tools = [kind() for _ in range(1 + everywhere * len(self.workers))]
        for number, tool in enumerate(self.tools[1:]):
            self.workers[number].do(tool.on)
        self.tools[0].on()
        return True

    def off(self):
        """Stops all, and answers what each has found."""
        found = [self.tools[0].off()]
        for number, tool in enumerate(self.tools[1:]):
            self.workers[number].do(lambda tool=tool: found.append(tool.off()))
        return found

    def work(self, passes):
        """Does the work in each thread."""
        for _ in range(passes):
            workload.run()
        for worker in self.workers:
            worker.do(workload.run)
        return True


def toil():
    """Works under cProfile until a signal comes; how many passes that were, and what it found."""
    ended, tool, passes = [], Profiled(), 0
    signal.signal(signal.SIGUSR1, lambda *_: ended.append(True))
    line_protocol.say("toiling")
    tool.on()
    while not ended:
        workload.run()
        passes += 1
    return passes, tool.off()


def main():
    """Until stdin ends."""
    running = Running(int(sys.argv[1]))
    line_protocol.ready()
    line_protocol.serve(
        {
            "cprofile-on": lambda: running.on(Profiled),
            "listener-on": lambda: running.on(Listened),
            "off": running.off,
            "work": running.work,
            "toil": toil,
        }
    )


if __name__ == "__main__":
    main()
