"""Trace functions of the program's own: what they hear without and with a collector of lines, and what that counts.

Each action tells what was heard alone and beside the collector, which must be equal, and facts of the collector's.
"""

import bdb
import sys
import threading

import measuring  # it sets the path for the others
import tracked
import tracking

OWN = {"traced_already.py", "tracked.py"}


class Ours:
    """An agent with the lines collector; or one whose thread does nothing, so that the program does the same."""

    def __init__(self, kind="lines", *, acts):
        self.agent = measuring.Agent(tracking.collector(kind))
        self.acts = acts

    def start(self):
        self.agent.do(self.agent._start if self.acts else list)

    def poll(self):
        self.agent.do(self.agent.collector.poll if self.acts else list)

    def stop(self):
        self.agent.do(self.agent.collector.stop if self.acts else list)


def name_of(function):
    """What a function of a frame's is called."""
    return getattr(function, "__qualname__", repr(function))


class Recording:
    """A tracer that writes down all that it is told, and what it reads of the frame."""

    def __init__(self):
        self.heard = []

    def note(self, frame, event, argument):
        code = frame.f_code
        if code.co_filename.rpartition("/")[2] in OWN and type(frame.f_locals.get("self")) is not Ours:
            facts = [name_of(frame.f_trace), frame.f_trace_lines, frame.f_trace_opcodes, type(argument).__name__]
            self.heard.append([event, code.co_name, frame.f_lineno, frame.f_lasti, *facts])

    def everything(self, frame, event, argument):
        """Hears all."""
        self.note(frame, event, argument)
        return self.everything

    def other(self, frame, event, argument):
        """Takes turns with `everything`, and does not always say so."""
        self.note(frame, event, argument)
        return self.everything if event == "exception" else None

    def choosing(self, frame, event, argument):
        """Leaves out, sets by hand, switches lines off and opcodes on, by the name of the function."""
        self.note(frame, event, argument)
        name = frame.f_code.co_name
        if name in ("loops", "numbers"):
            return None
        if name == "recursion" and not frame.f_back.f_trace:
            frame.f_back.f_trace = self.other
        if name == "raising":
            frame.f_trace = self.other
            return None
        if name == "delegation":
            frame.f_trace_opcodes = True
        if name == "decorators":
            frame.f_trace_lines = False
        return self.choosing

    def jumping(self, frame, event, argument):
        """Jumps over a line, once in each call of a function."""
        self.note(frame, event, argument)
        begin = skipping.__code__.co_firstlineno
        if event == "line" and frame.f_code is skipping.__code__ and frame.f_lineno == begin + 2:
            frame.f_lineno += 1
        return self.jumping


def skipping():
    total = 1
    total += 10
    return total + 1


def spanning(agent, action):
    """Runs, traced, while the collector comes and goes."""
    total = 0
    agent.start()
    for _ in range(3):
        total += 1
    result = action()
    agent.stop()
    for _ in range(2):
        total += 1
    return [total, str(result)]


def heard(agent, tracer_name, action):
    """What a tracer hears around the collector's time, and whether it is set afterwards as it was."""
    recording = Recording()
    tracer = getattr(recording, tracer_name)
    sys.settrace(tracer)
    value = spanning(agent, action)
    kept = sys.gettrace() == tracer
    sys.settrace(None)
    return {"heard": recording.heard, "value": value, "kept": kept, "left": tracking.left()}


def both(act, *arguments, kind="lines"):
    """What an act comes to alone and beside the collector."""
    for _ in range(2):
        act(Ours(acts=False), *arguments)
    alone, ours = act(Ours(acts=False), *arguments), Ours(kind, acts=True)
    together = act(ours, *arguments)
    caveats = list(ours.agent.collector._hooks.caveats)
    return ours.agent.result(alone=alone, together=together, later_caveats=caveats)


def hears_the_same(tracer_name, kind="lines"):
    """A tracer's events, and the collector's counts beside those of `trace`."""

    def work():
        return [tracked.run(), skipping()]

    tracking.warmed()
    expected = tracking.oracle_lines(tracked.run)
    return {**both(heard, tracer_name, work, kind=kind), "expected": expected}


class Debugger(bdb.Bdb):
    """Steps through a function as a person would: in turns a step, a next, a return."""

    def __init__(self):
        bdb.Bdb.__init__(self, skip=["measuring", "threading", "execd_agent.*"])
        self.heard = []

    def user_line(self, frame):
        """Decides by how many lines it has seen."""
        self.heard.append(["line", frame.f_code.co_name, frame.f_lineno])
        turn = len(self.heard) % 17
        if turn == 3:
            self.set_next(frame)
        elif turn == 16:
            self.set_return(frame)
        else:
            self.set_step()

    def user_return(self, frame, _value):
        self.heard.append(["return", frame.f_code.co_name, frame.f_lineno])


def debug(agent):
    """A debugger that steps while the collector comes and goes."""
    debugger = Debugger()
    tracked.run()
    debugger.reset()
    sys.settrace(debugger.trace_dispatch)
    value = spanning(agent, tracked.exceptions)
    sys.settrace(None)
    return {"heard": debugger.heard, "value": value, "left": tracking.left()}


def ending(agent, how):
    """A tracer that ends itself, in the midst of its work, by an exception or by sys.settrace."""
    recording = Recording()

    def tracer(frame, event, argument):
        recording.note(frame, event, argument)
        if frame.f_code.co_name == "skipping" and event == "line":
            if how == "raises":
                raise LookupError("of the tracer")
            sys.settrace(None if how == "ends" else recording.everything)
        return tracer

    def work():
        try:
            return skipping()
        except LookupError as error:
            return str(error)

    sys.settrace(tracer)
    agent.start()
    value = [work(), tracked.loops()]
    if how == "outside":
        sys.settrace(None)
    set_then = name_of(sys.gettrace())
    agent.poll()
    value += [work(), tracked.loops()]
    agent.stop()
    value.append(name_of(sys.gettrace()))
    sys.settrace(None)
    return {"heard": recording.heard, "value": value, "set": set_then, "left": tracking.left()}


def starting(agent):
    """A trace function for the threads to come, one of which outlives the collector."""
    recording = Recording()
    threading.settrace(recording.everything)
    agent.start()
    after = threading.Lock()
    after.acquire()

    def work():
        tracked.loops()
        after.acquire()
        skipping()

    threads = [threading.Thread(target=target, daemon=True) for target in (tracked.generators, work)]
    threads[0].start()
    threads[0].join()
    threads[1].start()
    agent.poll()
    agent.stop()
    after.release()
    threads[1].join()
    kept = threading._trace_hook == recording.everything
    threading.settrace(None)
    return {"heard": recording.heard, "kept": kept, "left": tracking.left()}


def left_over(agent):
    """Frames that have the function of a tracer that is gone: it must not be called again."""
    recording = Recording()

    def work():
        sys.settrace(None)
        agent.start()
        value = skipping()
        agent.stop()
        return value

    sys.settrace(recording.everything)
    value = work()
    return {"heard": recording.heard, "value": value}


def refused_beside_a_profiler():
    """A tracer and a profile function of the program's own, in one thread."""
    sys.setprofile(lambda *_event: None)
    sys.settrace(lambda *_event: None)
    ours = Ours(acts=True)
    ours.start()
    sys.settrace(None)
    sys.setprofile(None)
    return ours.agent.refused


def everything():
    """All of it."""
    results = {name: hears_the_same(name) for name in ("everything", "choosing", "jumping")}
    results["cover"] = hears_the_same("everything", "cover")
    for way in ("raises", "ends", "replaces", "outside"):
        results[way] = both(ending, way)
    results.update(debugger=both(debug), threads=both(starting), left=both(left_over))
    return {"results": results, "refused": refused_beside_a_profiler()}


if __name__ == "__main__":
    measuring.serve({"everything": everything})
