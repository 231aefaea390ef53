"""Programs whose stacks are known, for samplers: who may call whom, and how the time is shared out among leaves.

    sampled.py NAME

NAME is a key of CALLS. "counters" answers how many units of work are done, and the CPU time and the time at that
moment, in nanoseconds. "leaves" says after "ready", as JSON, between which shares of the time each of its leaves has;
it measures that before anybody looks.
"""

import ctypes
import json
import os
import random
import sys
import threading
import time
import types

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

LEVELS = 10
DEPTH = 20
ITEMS = 40
LAST_ITEMS = 120
# Beside the main thread two that work, and those that wait.
WORKERS = 2
WAITING = 17
NATIVE_THREADS = 159
LONG_S = 100000.0
PAUSE_S = 0.02
# Of a round: how long a leaf takes, and how often it is called.
LEAVES_NS = {"leaf_100ns": 100, "leaf_1us": 1000, "leaf_2us": 2000, "leaf_10us": 10000, "leaf_100us": 100000}
CALLED = {"leaf_100ns": 150, "leaf_1us": 20, "leaf_2us": 10, "leaf_10us": 4, "leaf_100us": 1}
MEASURED_ROUNDS = 2000
CALIBRATED_ITEMS = 10000
# What a call of `sum` takes beside its items.
CALL_NS = 60
SEED = 6

SHORT = {"one": {"first"}, "other": {"second"}}
DOWN = {f"down_{level}": {f"down_{(level - 1) % LEVELS}"} for level in range(LEVELS)}
DOWN["down_0"].add("spin")
# The functions that each function of a program may call; the program's own is the outermost one.
CALLS = {
    "short": dict(SHORT, short={"one", "other"}),
    "recursive": dict(DOWN, recursive={"down_0"}),
    "generators": {
        "generators": {"numbers", "other"},
        "numbers": {"squares"},
        "squares": {"spin", "first"},
        "other": {"second"},
    },
    "exceptions": {
        "exceptions": {"catching"},
        "catching": {"passing", "handling"},
        "passing": {"raising", "cleaning"},
        "cleaning": {"first"},
        "handling": {"second"},
    },
    "threads": dict(SHORT, threads={"longer", "some"}, longer={"spin"}, some={"one", "other"}),
    "leaves": {"leaves": set(LEAVES_NS)},
    "native": dict(DOWN, native={"down_0"}),
    "calm": dict(DOWN, calm={"down_0"}),
}
DONE = [0] * (1 + WORKERS)
DOWNWARDS = []
MANY_ITEMS = dict.fromkeys(LEAVES_NS, ())


def spin(count):
    """Calls nothing."""
    number = 0
    while number < count:
        number += 1


def first():
    """As short as it gets."""


def second():
    """As short, too."""


def one():
    """Calls it."""
    first()


def other():
    """Calls it."""
    second()


def short():
    """Calls both in turn."""
    for _ in range(ITEMS):
        one()
        other()


def longer():
    """About 20 us."""
    spin(600)


def some():
    """Calls both in turn, less often."""
    for _ in range(10):
        one()
        other()


def threads():
    """A long one and short ones, in several threads."""
    longer()
    some()


def down(depth):
    """One of several functions that call each other in a ring: a frame too few or too many is seen."""
    if depth:
        DOWNWARDS[(depth - 1) % LEVELS](depth - 1)
    else:
        spin(LAST_ITEMS)


def recursive():
    """Deep down and back: the whole stack comes and goes."""
    DOWNWARDS[0](DEPTH)


def native():
    """The same, beside threads that are not Python's."""
    DOWNWARDS[0](DEPTH)


def calm():
    """The same now and then, as a server that has little to do."""
    DOWNWARDS[0](DEPTH)
    time.sleep(PAUSE_S)


def squares():
    """The inner one of two generators."""
    for number in range(ITEMS):
        spin(number)
        first()
        yield number


def numbers():
    """Resumes it, and is resumed."""
    yield from squares()


def generators():
    """Frames that lie elsewhere."""
    for _ in numbers():
        other()


def raising():
    """Ends by an exception."""
    raise KeyError


def cleaning():
    """Runs while one is on its way."""
    first()


def handling():
    """Runs where one was caught."""
    second()


def passing():
    """Lets one pass."""
    try:
        raising()
    finally:
        cleaning()


def catching():
    """Catches it."""
    try:
        passing()
    except KeyError:
        handling()


def exceptions():
    """Several."""
    for _ in range(ITEMS):
        catching()


def leaf_none():
    """Takes the place of a leaf while that is measured."""


def leaf_100ns(items=MANY_ITEMS):
    """About 100 ns."""
    sum(items["leaf_100ns"])


def leaf_1us(items=MANY_ITEMS):
    """About 1 us."""
    sum(items["leaf_1us"])


def leaf_2us(items=MANY_ITEMS):
    """About 2 us."""
    sum(items["leaf_2us"])


def leaf_10us(items=MANY_ITEMS):
    """About 10 us."""
    sum(items["leaf_10us"])


def leaf_100us(items=MANY_ITEMS):
    """About 100 us."""
    sum(items["leaf_100us"])


def shuffled(names):
    """Returns functions in an order that is always the same."""
    order = [globals()[name] for name in names]
    random.Random(SEED).shuffle(order)  # noqa: S311 - no secret
    return tuple(order)


SCHEDULE = shuffled([name for name, count in CALLED.items() for _ in range(count)])


def leaves(schedule=SCHEDULE):
    """Calls each leaf so often."""
    for leaf in schedule:
        leaf()


def calibrate():
    """Finds how many items make a leaf about as long as it is called."""
    items = (1,) * CALIBRATED_ITEMS
    shortest = min(timed(sum, items) for _ in range(100))
    for name, length_ns in LEAVES_NS.items():
        MANY_ITEMS[name] = (1,) * max(1, round(CALIBRATED_ITEMS * (length_ns - CALL_NS) / shortest))


def timed(function, argument):
    """Returns how long a call takes, in nanoseconds."""
    began = time.perf_counter_ns()
    function(argument)
    return time.perf_counter_ns() - began


def planted():
    """Returns between which shares of the time each leaf has.

    Its work is what a round takes less where an empty function is called instead. What of a call is the caller's and
    what the leaf's nobody can say: so the share is between that without calls and that with whole calls.
    """
    schedules = {name: tuple(leaf_none if one.__name__ == name else one for one in SCHEDULE) for name in CALLED}
    schedules[""] = SCHEDULE
    schedules["calls"] = tuple(leaf for one in SCHEDULE for leaf in (one, leaf_none))
    taken = {name: [] for name in schedules}
    for _ in range(MEASURED_ROUNDS):
        for name, schedule in schedules.items():
            taken[name].append(timed(leaves, schedule))
    median = {name: sorted(values)[MEASURED_ROUNDS // 2] for name, values in taken.items()}
    whole = median[""]
    call = (median["calls"] - whole) / len(SCHEDULE)
    work = {name: whole - median[name] for name in CALLED}
    return {name: [work[name] / whole, (work[name] + count * call) / whole] for name, count in CALLED.items()}


def named(function, name):
    """Returns the function under another name, with a code object of its own."""
    names = {"co_name": name}
    if hasattr(function.__code__, "co_qualname"):
        names["co_qualname"] = name
    return types.FunctionType(function.__code__.replace(**names), globals(), name)


def work_on(work, index):
    """Goes on for ever, and counts."""
    while True:
        work()
        DONE[index] += 1


def start(target, *arguments):
    """Starts a thread."""
    threading.Thread(target=target, args=arguments, daemon=True).start()


def start_waiting():
    """Starts threads that wait in several ways."""
    lock = threading.Lock()
    lock.acquire()
    ways = [(lock.acquire,), (time.sleep, LONG_S), (threading.Event().wait,), (os.read, os.pipe()[0], 1)]
    for index in range(WAITING):
        start(*ways[index % len(ways)])


def start_native():
    """Starts threads that Python knows nothing of, and which wait for ever."""
    libc = ctypes.CDLL(None)
    wait = ctypes.cast(libc.pause, ctypes.c_void_p)
    for _ in range(NATIVE_THREADS):
        if libc.pthread_create(ctypes.byref(ctypes.c_ulong()), None, wait, None):
            raise OSError("no thread")


def counters():
    """Answers the command."""
    return {"units": sum(DONE), "cpu_ns": time.process_time_ns(), "wall_ns": time.monotonic_ns()}


def main():
    """Goes on until stdin ends."""
    name = sys.argv[1]
    DOWNWARDS.extend(named(down, f"down_{level}") for level in range(LEVELS))
    facts = ""
    if name == "leaves":
        calibrate()
        facts = json.dumps(planted())
    if name == "threads":
        start_waiting()
        for index in range(WORKERS):
            start(work_on, threads, 1 + index)
    if name == "native":
        start_native()
        start(time.sleep, LONG_S)
    line_protocol.ready(facts)
    line_protocol.serve_beside({"counters": counters})
    work_on(globals()[name], 0)


if __name__ == "__main__":
    main()
