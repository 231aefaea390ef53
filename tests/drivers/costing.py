"""What recording calls costs programs, beside other profilers and without any, in turns within one process.

    costing.py rounds COUNT BUILTINS PYPERFORMANCE      CPU times of so many rounds, BUILTINS: 0 without C functions
    costing.py work PYPERFORMANCE                       runs the programs in turn, for ever

PYPERFORMANCE: how many of its programs beside ours. In EXECD_BENCH_PACKAGES lie that package, `calls_floor.so`, and
other profilers where they are to be measured; EXECD_TEST_FORM is the form of our collector.
"""

import cProfile
import gc
import importlib.machinery
import importlib.util
import os
import random
import sys
import threading
import time

import costed
import costed_pyperformance
import measuring
from execd_agent.collectors.subscription import Subscription

PACKAGES = os.environ.get("EXECD_BENCH_PACKAGES", "")
FORM = os.environ.get("EXECD_TEST_FORM", "python")
# What is written for the profile slot of 3.9 to 3.11 hears the thread that it is switched on in.
HEARS_ONE_THREAD = not hasattr(sys, "monitoring")
# More than any of the programs has, so that none is let go of.
TRACED_EVENTS = 1_000_000


def took(work):
    """The CPU time of all threads that a function's call takes, s."""
    began = time.process_time()
    work()
    return time.process_time() - began


def heard(program):
    """The CPU time of a program, s, under what hears it now; what happens the first time alone is not in it."""
    program.warm()
    # So that each time as many collections of garbage fall into it.
    gc.collect()
    return took(program.work)


def is_heard():
    """Whether something hears calls."""
    if HEARS_ONE_THREAD:
        return sys.getprofile() is not None
    owned = [number for number in range(6) if sys.monitoring.get_tool(number)]
    return any(sys.monitoring.get_events(number) for number in owned)


class Alone:
    """Nobody hears."""

    def times(self, program):
        """The CPU time, s."""
        if is_heard():
            raise AssertionError("what hears calls was left in the process")
        return heard(program)


class BesideCProfile:
    """The profiler of the standard library. Below 3.12 it hears the calling thread: each gets one of its own."""

    def __init__(self, builtins):
        self.builtins = builtins
        self.of_thread = threading.local()

    def begin(self):
        """In a thread."""
        self.of_thread.profiler = cProfile.Profile(builtins=self.builtins)
        self.of_thread.profiler.enable()

    def end(self):
        """In the same."""
        self.of_thread.profiler.disable()

    def times(self, program):
        """The CPU time, s."""
        if HEARS_ONE_THREAD:
            costed.workers.each(self.begin)
        self.begin()
        try:
            return heard(program)
        finally:
            self.end()
            if HEARS_ONE_THREAD:
                costed.workers.each(self.end)


class BesideYappi:
    """yappi, by the clock of the wall as cProfile and we."""

    def __init__(self, builtins):
        import yappi  # noqa: PLC0415 - few versions have it

        self.yappi, self.builtins = yappi, builtins
        yappi.set_clock_type("wall")

    def times(self, program):
        """The CPU time, s."""
        self.yappi.start(builtins=self.builtins)
        try:
            return heard(program)
        finally:
            self.yappi.stop()
            self.yappi.clear_stats()


def unheard():
    """Takes out what hears the calling thread, 3.9 to 3.11."""
    sys.setprofile(None)


class BesideVizTracer:
    """VizTracer, which keeps each call."""

    def __init__(self, builtins):
        import viztracer  # noqa: PLC0415 - few versions have it

        self.tracer = viztracer.VizTracer(
            tracer_entries=TRACED_EVENTS, ignore_c_function=not builtins, verbose=0, register_global=False
        )
        # It hears from the moment that it is made, below 3.12.
        self.tracer.start()
        self.tracer.stop()

    def times(self, program):
        """The CPU time, s."""
        self.tracer.start()
        if HEARS_ONE_THREAD:
            costed.workers.each(self.tracer.enable_thread_tracing)
        try:
            return heard(program)
        finally:
            self.tracer.stop()
            if HEARS_ONE_THREAD:
                costed.workers.each(unheard)
            self.tracer.clear()


class Floor:
    """A collector that hears what the native form does, by C functions that do nothing."""

    form = "native"

    def __init__(self, core, builtins):
        self.core = core
        self.heard = ("enter", "leave", "enter_c", "leave_c") if builtins else ("enter", "leave")
        self.hooks = Subscription(self.handlers)

    def handlers(self, _depth, _disable):
        """What it hears with."""
        return {**dict.fromkeys(self.heard, self.core.hear), "trampoline": self.core.trampoline()}

    def start(self):
        """Arms every thread but the calling one."""
        return self.hooks.install()

    def stop(self):
        """Disarms."""
        self.hooks.remove()

    def free(self):
        """It has nothing."""


class Recorded:
    """A collector of ours, made anew each time by a thread of its own as in a target."""

    def __init__(self, agent, make):
        self.agent, self.make = agent, make

    def times(self, program):
        """The CPU time, s."""
        self.agent.do(lambda: setattr(self.agent, "collector", self.make()))
        if getattr(self.agent.collector, "form", "python") != FORM:
            raise AssertionError("not in the form that is to be measured")
        self.agent.start()
        try:
            return heard(program)
        finally:
            self.agent.stop()
            self.agent.do(self.agent.collector.free)
            if self.agent.refused or self.agent.caveats:
                raise AssertionError(self.agent.refused or self.agent.caveats)


def floor(path, builtins):
    """What makes the floor."""
    loader = importlib.machinery.ExtensionFileLoader("calls_floor", path)
    core = importlib.util.module_from_spec(importlib.util.spec_from_loader("calls_floor", loader))
    loader.exec_module(core)
    return lambda: Floor(core, builtins)


def end(failed):
    """What fails in a thread ends the process: others wait for that thread."""
    sys.excepthook(failed.exc_type, failed.exc_value, failed.exc_traceback)
    os._exit(1)


def ways(builtins):
    """All ways of running a program, by name. `again` is `alone` once more: what they differ by is chance."""
    threading.excepthook = end
    agent = measuring.Agent(collector=())
    found = {
        "alone": Alone(),
        "again": Alone(),
        "cProfile": BesideCProfile(builtins),
        "recorded": Recorded(agent, lambda: measuring.calls_of({"builtins": builtins, "bias": 0.0})),
    }
    if FORM == "native":
        found["floor"] = Recorded(agent, floor(PACKAGES + "/calls_floor.so", builtins))
    for name, kind in (("yappi", BesideYappi), ("viztracer", BesideVizTracer)):
        if os.path.exists(PACKAGES + "/" + name) or os.path.exists(PACKAGES + "/" + name + ".py"):
            found[name] = kind(builtins)
    return found


def programs(pyperformance):
    """All programs, by name."""
    return {**costed.programs(), **costed_pyperformance.programs(PACKAGES, pyperformance)}


def rounds(count, builtins, pyperformance):
    """Of each round, the CPU times of each program in each way, s."""
    sys.path.append(PACKAGES)
    measured, found = programs(pyperformance), ways(bool(builtins))
    # What was made until now is none of the programs', and looked at by no collection of garbage that one has.
    gc.collect()
    gc.freeze()
    order = random.Random(count)  # noqa: S311 - an order
    told = []
    for _ in range(count):
        times = {name: {} for name in measured}
        for name, program in measured.items():
            # Each time in another order: what follows on what may matter.
            for way in order.sample(list(found), len(found)):
                times[name][way] = found[way].times(program)
        told.append(times)
    return told


def work(pyperformance):
    """Runs the programs in turn, for ever, and says when it begins."""
    measured = programs(pyperformance)
    print("ready", flush=True)  # noqa: T201 - the benchmark reads it
    while True:
        for program in measured.values():
            program.work()


if __name__ == "__main__":
    measuring.serve({"rounds": rounds, "work": work})
