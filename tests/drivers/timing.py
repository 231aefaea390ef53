"""What the calls collector tells of times: by each clock, and what its events cost."""

import json
import signal
import sys
import threading
import time

import measuring  # it sets the path for the others

ticks_told = 0
SLEEP_S = 0.05


def header_of(table):
    """The header of a table as the collector encodes it."""
    return json.loads(table[4 : 4 + int.from_bytes(table[:4], "little")])


def leaf():
    """Called by the others."""


def work():
    """Calls functions of every kind."""
    for _ in range(20):
        leaf()
        len(())
        int()  # noqa: UP018 - a call of a type


def costs(builtins=1):
    """What is told of the costs of events after one snapshot, and after the stop."""
    agent = measuring.Agent(builtins=bool(builtins))
    agent.start()
    work()
    agent.do(agent.collector.poll)
    first = agent.collector.snapshot()
    before = agent.collector.memory_bytes
    agent.do(agent.collector.poll)
    after = agent.collector.memory_bytes
    agent.stop()
    told = [header_of(one)["extra"] for one in (first, agent.collector.snapshot())]
    return agent.result(told=told, used=[before, after], monitored=hasattr(sys, "monitoring"))


def costs_of_many():
    """What is told after so many events that some of each kind were timed."""
    agent = measuring.Agent()
    agent.start()
    agent.do(agent.collector.poll)
    work()
    for _ in range(20):
        agent.do(agent.collector.poll)
        for _ in range(50):
            work()
    agent.stop()
    return agent.result(told=header_of(agent.collector.snapshot())["extra"])


def costs_unasked():
    """What is told where nothing is to be measured."""
    agent = measuring.Agent(bias=0.0)
    agent.start()
    work()
    agent.stop()
    return agent.result(told=header_of(agent.collector.snapshot())["extra"])


def spin():
    """Uses CPU time, as long as SLEEP_S."""
    end = time.thread_time() + SLEEP_S
    while time.thread_time() < end:
        pass


def rest():
    """Uses none."""
    time.sleep(SLEEP_S)


def by_cpu():
    """A function that computes and one that sleeps, by CPU time."""

    def action():
        spin()
        rest()

    return measuring.measured(action, clock="cpu")


def open_by_cpu():
    """Threads without an event while they are recorded: one computes, one waits, both in a call that is open."""
    agent = measuring.Agent(clock="cpu")
    started, ended = threading.Barrier(3), threading.Event()

    def computes():
        started.wait()
        end = 0
        while not ended.is_set():
            for end in range(200_000):  # noqa: B007 - it takes time, and has no event
                pass

    def waits():
        started.wait()
        ended.wait()

    threads = [threading.Thread(target=one) for one in (computes, waits)]
    for one in threads:
        one.start()
    started.wait()
    agent.start()
    time.sleep(4 * SLEEP_S)
    agent.stop()
    result = agent.result()
    ended.set()
    for one in threads:
        one.join()
    return result


def ticks():
    """A clock that goes on by one each time it is asked."""
    global ticks_told  # noqa: PLW0603 - a clock
    ticks_told += 1
    return ticks_told


def fails():
    """A clock that breaks."""
    if ticks() > 30:
        raise LookupError("no more ticks")
    return ticks_told


def goes_back():
    """A clock that is set back."""
    return -ticks()


def interrupted():
    """A clock that a signal of the program's comes into."""
    if ticks() == 30:
        signal.raise_signal(signal.SIGUSR1)
    return ticks_told


def by_timer(timer, unit):
    """Work by a timer of the program's, and whether its exceptions reach it."""
    agent = measuring.Agent(timer=timer, timeunit=unit)
    agent.start()
    if agent.refused:
        return agent.refusal()
    caught = ""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - whatever comes is what is asked for
        caught = repr(error)
    broken = agent.collector.broken
    agent.stop()
    told = header_of(agent.collector.snapshot())
    return agent.result(caught=caught, broken=broken, told=told["extra"], said=told["caveats"])


def audited_since():
    """What comes of measuring where the program has an audit hook by then that forbids a profile function."""
    agent = measuring.Agent()
    agent.start()
    said, forbids = [], [True]

    def hook(event, _arguments):
        if forbids and event == "sys.setprofile":
            raise RuntimeError(event)

    sys.unraisablehook = lambda one: said.append(str(one.exc_value))
    sys.addaudithook(hook)
    agent.do(agent.collector.poll)
    forbids.clear()
    leaf()
    agent.stop()
    return agent.result(said=said)


def steady(unit_us):
    """A timer that works."""
    return by_timer("__main__:ticks", unit_us / 1e6)


def failing():
    """One that fails after a while."""
    return by_timer("__main__:fails", None)


def set_back():
    """One that goes back."""
    return by_timer("__main__:goes_back", None)


def signalled():
    """One within which a signal handler raises."""

    def handler(_number, _frame):
        raise TimeoutError("of the program")

    signal.signal(signal.SIGUSR1, handler)
    return by_timer("__main__:interrupted", None)


def refused():
    """Why each of these is no timer."""
    told = {}
    options = [
        {"timer": one}
        for one in ("nowhere:clock", "__main__", "__main__:nothing", "__main__:SLEEP_S", "__main__:refused_text", ":")
    ]
    options += [{"timer": "__main__:ticks", "timeunit": 0}, {"clock": "sun"}, {"bias": -1.0}, {"bias": "some"}]
    for one in options:
        try:
            measuring.Calls(one)
        except measuring.Refused as error:
            told[str(sorted(one.items()))] = str(error)
    return told


def refused_text():
    """No clock, for it tells no number."""
    return ()


if __name__ == "__main__":
    measuring.serve(globals())
