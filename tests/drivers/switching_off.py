"""Functions that are switched off while they run, and between; in the native form alone."""

import struct
import sys

import measuring
from execd_agent.collectors import Refused

FUNCTION = struct.Struct("<8I")
# Where the tables say how many functions there are, and where these and the texts begin.
COUNT_AT, FUNCTIONS_AT, TEXTS_AT = 148, 40, 48


def number_of(core, name):
    """The number that a function has in the tables."""
    tables = core.copy()
    (count,) = struct.unpack_from("<I", tables, COUNT_AT)
    functions_at, texts_at = (struct.unpack_from("<Q", tables, at)[0] for at in (FUNCTIONS_AT, TEXTS_AT))
    names = []
    for number in range(count):
        row = FUNCTION.unpack_from(tables, functions_at + number * FUNCTION.size)
        names.append(tables[texts_at + row[2] : texts_at + row[2] + row[3]].decode())
    return names.index(name)


def off(agent, name):
    """Switches a function off, and again. What was said."""
    said = []

    def order():
        number = number_of(agent.collector._core, name)
        said.extend([agent.collector.switch_off([number]), agent.collector.switch_off([number]), number])

    agent.do(order)
    return said


def leaf():
    """Called by what is switched off."""
    return 1


def chosen(depth, action):
    """Calls itself, and something at its depth."""
    return action() + leaf() if depth == 0 else chosen(depth - 1, action) + leaf()


def sorting(action):
    """Calls Python from C, from what is switched off meanwhile."""
    return sum(sorted([3, 1], key=lambda value: action() + value))


def counting(last):
    """A generator."""
    for value in range(last):
        leaf()
        yield value


def again(depth):
    """Calls in a place of their own, when all is over."""
    return leaf() if depth == 0 else again(depth - 1)


def recursive(depth, times):
    """Switched off at the bottom of its own recursion, and called again."""
    agent = measuring.Agent()
    said = []

    def bottom():
        said.append(off(agent, "chosen"))
        return leaf()

    agent.start()
    value = chosen(depth, bottom)
    for _ in range(times):
        value += chosen(depth, leaf)
    value += again(3)
    agent.stop()
    return agent.result(value=value, said=said)


def within_c():
    """Switched off below a C function that it calls."""
    agent = measuring.Agent()

    def action():
        if not said:
            said.append(off(agent, "sorting"))
        return leaf()

    said = []
    agent.start()
    value = sorting(action) + sorting(leaf) + again(3)
    agent.stop()
    return agent.result(value=value, said=said)


def suspended():
    """A generator that is switched off while it is suspended."""
    agent = measuring.Agent()
    agent.start()
    generator = counting(5)
    value = next(generator)
    said = off(agent, "counting")
    value += sum(generator) + sum(counting(3)) + again(3)
    agent.stop()
    return agent.result(value=value, said=[said])


def no_function():
    """What has no number, a number of no code, and the nodes' own."""
    agent = measuring.Agent()
    agent.start()
    leaf()
    said = []
    agent.do(lambda: said.append(agent.collector.switch_off([0, 1, 1000, 4294967295])))
    leaf()
    agent.stop()
    said.append(agent.collector.switch_off([2]))
    return agent.result(said=said)


def refused():
    """Where nothing can be switched off."""
    agent = measuring.Agent()
    agent.start()
    leaf()
    said = []

    def order():
        try:
            agent.collector.switch_off([2])
        except Refused as why:
            said.append(str(why))

    agent.do(order)
    leaf()
    agent.stop()
    return agent.result(why=said[0])


def twice(other_tool):
    """A second recording, of what was switched off in the first; another tool of the program's may be active."""
    monitoring = getattr(sys, "monitoring", None)
    if other_tool and monitoring:
        monitoring.use_tool_id(5, "other")
        monitoring.register_callback(5, monitoring.events.PY_START, lambda *_: None)
        monitoring.set_events(5, monitoring.events.PY_START)
    first = measuring.Agent()
    first.start()
    chosen(2, leaf)
    off(first, "chosen")
    chosen(2, leaf)
    sum(counting(3))
    off(first, "counting")
    sum(counting(3))
    first.stop()
    table = first.result()["table"]
    first.do(first.collector.free)
    return {**measuring.measured(lambda: chosen(2, leaf) + sum(counting(3))), "first": table}


if __name__ == "__main__":
    measuring.serve(
        {
            "recursive": recursive,
            "within_c": within_c,
            "suspended": suspended,
            "no_function": no_function,
            "refused": refused,
            "twice": twice,
        }
    )
