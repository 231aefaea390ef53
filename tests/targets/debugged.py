"""A program with debuggers and profilers of its own, which run from one command to another.

Known: "NAME-on" starts one of TOOLS and "NAME-off" stops it and answers what it found of the workload: counts that
are the same in every run of as much work; "work N" runs N passes of it; "take-ids" takes every id of sys.monitoring
that is free, "ids" answers their owners.
"""

import bdb
import cProfile
import faulthandler
import os
import sys
import threading
import tracemalloc

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol
import workload

MONITORING = getattr(sys, "monitoring", None)
COVERAGE_ID = 1
FILE = workload.__file__


class Counting:
    """How often each line, or call, of the workload was seen."""

    def __init__(self):
        self.counts = {}

    def count(self, what):
        """One more."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def found(self):
        """The counts as JSON has them."""
        return sorted(([str(what), count] for what, count in self.counts.items()), key=str)


class Profiled(Counting):
    """cProfile: C code that hears of every call."""

    def on(self):
        """Starts it."""
        self.profiler = cProfile.Profile()
        self.profiler.enable()

    def off(self):
        """The calls of each function of the workload."""
        self.profiler.disable()
        self.profiler.create_stats()
        for (file, line, name), (_primitive, calls, *_rest) in self.profiler.stats.items():
            if file == FILE:
                self.counts[line, name] = calls
        return self.found()


class Traced(Counting):
    """A trace function, in this thread and those that begin now."""

    def on(self):
        """Starts it."""
        threading.settrace(self.trace)
        sys.settrace(self.trace)

    def trace(self, frame, event, _argument):
        """Counts every event of the workload."""
        if frame.f_code.co_filename != FILE:
            return None
        self.count((event, frame.f_lineno))
        return self.trace

    def off(self):
        """The events of each line."""
        sys.settrace(None)
        threading.settrace(None)
        return self.found()


class Listened(Counting):
    """A profile function."""

    def on(self):
        """Starts it."""
        sys.setprofile(self.listen)

    def listen(self, frame, event, _argument):
        """Counts every event of the workload."""
        if frame.f_code.co_filename == FILE:
            self.count((event, frame.f_lineno))

    def off(self):
        """The events of each line."""
        sys.setprofile(None)
        return self.found()


class Debugged(Counting, bdb.Bdb):
    """A debugger that stops at every line of one function."""

    def __init__(self):
        Counting.__init__(self)
        bdb.Bdb.__init__(self)

    def on(self):
        """Sets the break points that pdb sets by name."""
        self.set_break(FILE, workload.fibonacci.__code__.co_firstlineno + 2)
        # As set_trace does, without a stop at once.
        self.reset()
        self.set_continue()
        sys.settrace(self.trace_dispatch)

    def user_line(self, frame):
        """It stops."""
        self.count(frame.f_lineno)
        self.set_continue()

    def off(self):
        """How often it stopped."""
        sys.settrace(None)
        self.clear_all_breaks()
        return self.found()


class Covered(Counting):
    """A tool of sys.monitoring that hears of each line once, and of calls always."""

    def on(self):
        """Starts it."""
        events = MONITORING.events
        MONITORING.use_tool_id(COVERAGE_ID, "coverage")
        MONITORING.register_callback(COVERAGE_ID, events.LINE, self.line)
        MONITORING.register_callback(COVERAGE_ID, events.PY_START, self.start)
        MONITORING.set_events(COVERAGE_ID, events.LINE | events.PY_START)

    def line(self, code, number):
        """Once is enough."""
        if code.co_filename == FILE:
            self.count(number)
        return MONITORING.DISABLE

    def start(self, code, _offset):
        """Each one counts."""
        if code.co_filename == FILE:
            self.count(code.co_name)

    def off(self):
        """The lines seen, and the calls."""
        MONITORING.set_events(COVERAGE_ID, 0)
        MONITORING.free_tool_id(COVERAGE_ID)
        return self.found()


class Dumping(Counting):
    """What prints tracebacks at a crash."""

    def on(self):
        """Starts it."""
        faulthandler.enable()

    def off(self):
        """Whether it was on still."""
        self.counts["on"] = int(faulthandler.is_enabled())
        faulthandler.disable()
        return self.found()


class Allocating(Counting):
    """What traces allocations."""

    def on(self):
        """Starts it."""
        tracemalloc.start(5)
        self.kept = [bytes(4711) for _ in range(10)]

    def off(self):
        """Whether it was on still, and knows of ours."""
        size = 10 * sys.getsizeof(self.kept[0])
        traces = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, __file__)]).traces
        self.counts["bytes"] = sum(trace.size for trace in traces if trace.size == size // 10)
        self.counts["on"] = int(tracemalloc.is_tracing())
        tracemalloc.stop()
        return self.found()


TOOLS = {
    "cprofile": Profiled,
    "tracer": Traced,
    "listener": Listened,
    "bdb": Debugged,
    "coverage": Covered,
    "faulthandler": Dumping,
    "tracemalloc": Allocating,
}


class Running:
    """The tools that are on."""

    def __init__(self):
        self.tools = {}

    def on(self, name):
        """A command that starts one."""

        def start():
            self.tools[name] = TOOLS[name]()
            self.tools[name].on()
            return True

        return start

    def off(self, name):
        """A command that stops it."""
        return lambda: self.tools.pop(name).off()


def take_ids():
    """All that are free."""
    for tool_id in range(6):
        if MONITORING.get_tool(tool_id) is None:
            MONITORING.use_tool_id(tool_id, f"tool-{tool_id}")
    return True


def ids():
    """Who has which."""
    return [MONITORING.get_tool(tool_id) for tool_id in range(6)]


def main():
    """Ends with stdin."""
    running = Running()
    actions = {f"{name}-on": running.on(name) for name in TOOLS}
    actions.update({f"{name}-off": running.off(name) for name in TOOLS})
    line_protocol.ready()
    line_protocol.serve({**actions, "work": workload.repeat, "take-ids": take_ids, "ids": ids})


if __name__ == "__main__":
    main()
