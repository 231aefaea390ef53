"""What the collectors of lines and calls record, beside what the standard library's trace records of the same work."""

import sys
import threading
import trace
from collections import Counter

import measuring
import tracked
from execd_agent.collectors.callers import Callers
from execd_agent.collectors.cover import Cover
from execd_agent.collectors.functions import Functions
from execd_agent.collectors.lines import Lines

KINDS = {"callers": Callers, "cover": Cover, "functions": Functions, "lines": Lines}
OPTIONS = {}


def collector(kind, **options):
    return KINDS[kind]({**OPTIONS, **options})


def names(path):
    return path.rpartition("/")[2]


def oracle_lines(action):
    """File, line and count of each line that trace counts."""
    tracer = trace.Trace(count=1, trace=0)
    tracer.runfunc(action)
    return sorted([names(file), line, hits] for (file, line), hits in tracer.results().counts.items())


def oracle_functions(action):
    """File and name of each function that trace lists, a method's without its class."""
    tracer = trace.Trace(count=0, trace=0, countfuncs=1)
    tracer.runfunc(action)
    return sorted({(names(file), name.rpartition(".")[2]) for file, _, name in tracer.results().calledfuncs})


def oracle_pairs(action):
    """The pairs that trace finds, each caller and callee by file and name."""
    tracer = trace.Trace(count=0, trace=0, countcallers=1)
    tracer.runfunc(action)
    return sorted(
        {
            (names(file), name.rpartition(".")[2], names(to_file), to_name.rpartition(".")[2])
            for (file, _, name), (to_file, _, to_name) in tracer.results().callers
        }
    )


def oracle_calls(action):
    """How often each pair of names has a call event."""
    found = Counter()

    def on_call(frame, event, _argument):
        if event == "call":
            found[frame.f_back.f_code.co_name, frame.f_code.co_name] += 1

    sys.settrace(on_call)
    action()
    sys.settrace(None)
    return sorted([*pair, calls] for pair, calls in found.items())


ORACLES = {"cover": oracle_lines, "lines": oracle_lines, "functions": oracle_functions, "callers": oracle_pairs}


def warmed():
    """Some work is done at first only: of asyncio, of caches."""
    for _ in range(2):
        tracked.run()


def beside(kind):
    """The oracle's and the collector's result of each action."""
    warmed()
    expected = ORACLES[kind](tracked.run)
    calls = oracle_calls(tracked.run)
    agent = measuring.Agent(collector(kind))
    agent.start()
    tracked.run()
    agent.stop()
    return agent.result(expected=expected, calls=calls)


def together():
    """All four at once, and after each leaves those that stay count on; the last comes and goes alone."""
    warmed()
    expected = {kind: ORACLES[kind](tracked.run) for kind in KINDS}
    collectors = {kind: collector(kind) for kind in KINDS}
    agent = measuring.Agent()
    agent.start()
    for one in collectors.values():
        agent.do(one.start)
    for one in collectors.values():
        tracked.run()
        agent.do(one.stop)
    agent.stop()
    found, calls = left(), agent.result()
    results = {}
    for kind, agent.collector in collectors.items():
        results[kind] = {**agent.result(), "expected": expected[kind]}
    return {"results": results, "calls": calls, "hooks": found}


def left():
    """What is set in this thread and in the interpreter, of what may be ours."""
    monitoring = getattr(sys, "monitoring", None)
    frame, traced = sys._getframe(), []
    while frame is not None:
        traced.append(frame.f_trace)
        frame = frame.f_back
    return [
        repr(one)
        for one in (sys.getprofile(), sys.gettrace(), threading._profile_hook, threading._trace_hook, *traced)
        if one is not None
    ] + [monitoring.get_tool(number) for number in range(6) if monitoring and monitoring.get_tool(number)]


def again(kind, foreign_tool):
    """Two sessions of a collector, one after the other, and one that joins a running one by its mark."""
    if foreign_tool and hasattr(sys, "monitoring"):
        sys.monitoring.use_tool_id(0, "debugger")
    warmed()
    expected = ORACLES[kind](tracked.run)
    results = []
    for _ in range(2):
        agent = measuring.Agent(collector(kind))
        agent.start()
        tracked.run()
        marks = []
        agent.do(lambda agent=agent, marks=marks: marks.append(agent.collector.mark()))
        tracked.recursion()
        agent.stop()
        results.append({**agent.result(), "marked": len(marks[0])})
    return {"results": results, "expected": expected, "recursion": ORACLES[kind](tracked.recursion)}


def joined_by(kind, other, foreign_tool):
    """A collector that comes while another has switched off all that it has seen."""
    if foreign_tool and hasattr(sys, "monitoring"):
        sys.monitoring.use_tool_id(0, "debugger")
    warmed()
    expected = ORACLES[other](tracked.run)
    first, second = measuring.Agent(collector(kind)), measuring.Agent(collector(other))
    first.start()
    tracked.run()
    second.start()
    tracked.run()
    first.stop()
    second.stop()
    return second.result(expected=expected)


class Worker:
    """A thread that counts what it does in a loop, which runs before anybody looks."""

    def __init__(self):
        self.steps = 0
        self.goes_on = True
        self.thread = threading.Thread(target=self.work, daemon=True)

    def work(self):
        while self.goes_on:
            self.steps += 1
            for _ in range(3): pass  # fmt: skip # noqa: E701 - the line jumps onto itself


def running_loop(kind):
    """A loop that runs in another thread when the collector comes: its own count brackets the collector's."""
    worker = Worker()
    worker.thread.start()
    agent = measuring.Agent(collector(kind))
    before = worker.steps
    agent.start()
    began = worker.steps
    while worker.steps < began + 2_000:
        pass
    ended = worker.steps
    # What is done with these lines hears of them once more, in the frame that runs.
    agent.do(agent.collector.mark)
    # It went on while that was done.
    ended = worker.steps
    while worker.steps < ended + 100:
        pass
    ended = worker.steps
    agent.stop()
    after = worker.steps
    worker.goes_on = False
    worker.thread.join()
    first = Worker.work.__code__.co_firstlineno
    return agent.result(before=before, began=began, ended=ended, after=after, first_line=first)


def threads(kind, count, rounds):
    """So many threads at once, each so many rounds of a known loop, started while the collector is on."""

    def step(total):
        return total + 1

    def rounds_of(number):
        total = 0
        for _ in range(number):
            total = step(total)
        return total

    agent = measuring.Agent(collector(kind))
    agent.start()
    workers = [threading.Thread(target=rounds_of, args=(rounds,)) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    agent.stop()
    return agent.result(first_line=rounds_of.__code__.co_firstlineno)


ACTIONS = {
    "beside": beside,
    "together": together,
    "again": again,
    "joined_by": joined_by,
    "running_loop": running_loop,
    "threads": threads,
}


def main():
    """Runs the action that the command line names; kinds of collectors stand there as their number."""
    kinds = sorted(KINDS)
    action = sys.argv[1]
    numbers = {"beside": 1, "again": 1, "joined_by": 2, "running_loop": 1, "threads": 1}.get(action, 0)
    measuring.serve(
        {action: lambda *given: ACTIONS[action](*(kinds[one] for one in given[:numbers]), *given[numbers:])}
    )


if __name__ == "__main__":
    main()
