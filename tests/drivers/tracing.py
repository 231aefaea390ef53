"""What the trace collector records of known work, beside what `trace` of the standard library prints of it."""

import base64
import contextlib
import io
import sys
import threading
import trace

import measuring  # it sets the path for the others
import traced_work
from execd_agent.collectors import trace as collectors_trace
from execd_agent.collectors.trace import Trace


class Tracer(measuring.Agent):
    """An agent's thread with a trace."""

    def __init__(self, **options):
        measuring.Agent.__init__(self)
        self.collector = Trace(options)
        self.tables = []

    def take(self, received, **pace):
        """Hands over events."""
        self.do(lambda: self.tables.append(self.collector.take(received, **pace)))

    def result(self, **facts):
        """What was handed over, and then the rest."""
        tables = [*self.tables, self.collector.snapshot()]
        return {"tables": [base64.b64encode(table).decode("ascii") for table in tables], **facts}


def oracle(work):
    """What `python -m trace --trace` prints of a function's call."""
    printed = io.StringIO()
    tracer = trace.Trace(count=0, trace=1)
    with contextlib.redirect_stdout(printed):
        tracer.runfunc(work)
    return printed.getvalue()


def traced(name, **options):
    """Events of a function of the known work."""
    work = getattr(traced_work, name)
    work()
    tracer = Tracer(**options)
    tracer.start()
    work()
    tracer.stop()
    return tracer.result()


def one_work(index):
    """Events and oracle of one function of the known work."""
    name = traced_work.WORKS[index]
    result = traced(name)
    getattr(traced_work, name)()
    return {**result, "printed": oracle(getattr(traced_work, name)), "name": name}


def filtered():
    """Events of one function and no other."""
    return traced("everything", function="*.met*")


def one_thread():
    """Events of the thread of one name."""

    def in_threads():
        for name in ("wanted", "other"):
            thread = threading.Thread(target=traced_work.loops, name=name)
            thread.start()
            thread.join()

    tracer = Tracer(thread="wanted")
    tracer.start()
    in_threads()
    tracer.stop()
    return tracer.result()


def overflowing(steps, max_memory_bytes):
    """More events than there is room for; some are handed over in between, an answer of them twice."""
    tracer = Tracer(max_memory_bytes=max_memory_bytes, function="step")
    tracer.start()
    traced_work.steps(steps)
    tracer.take(0)
    tracer.take(0)
    traced_work.steps(steps)
    tracer.stop()
    return tracer.result()


def paced(steps):
    """Events that are taken at once and again at once, by somebody who may wait and by somebody who may not."""
    tracer = Tracer(function="step")
    tracer.start()
    # On a busy machine the time between two would be over before the second one comes: for this clock none goes by.
    now_ns = collectors_trace.perf_counter_ns()
    collectors_trace.perf_counter_ns = lambda: now_ns
    for received, pace in ((0, {"is_paced": True}), (4 * steps, {"is_paced": True}), (4 * steps, {})):
        traced_work.steps(steps)
        tracer.take(received, **pace)
    tracer.stop()
    return tracer.result()


def limited(count):
    """So many events and no more."""
    tracer = Tracer(limit_events=count, function="step")
    tracer.start()
    traced_work.steps(1000)
    tracer.stop()
    return tracer.result()


if __name__ == "__main__":
    sys.setrecursionlimit(5000)
    measuring.serve(
        {
            "one_work": one_work,
            "filtered": filtered,
            "one_thread": one_thread,
            "overflowing": overflowing,
            "limited": limited,
            "paced": paced,
        }
    )
