"""What the calls collector records of calls of every kind in the main thread."""

import sys
import time

import measuring  # it sets the path for the others
import workload


def workload_passes(passes, builtins=1):
    """So many passes of the known workload, after one that is not measured."""
    workload.run()
    return measuring.measured(lambda: [workload.run() for _ in range(passes)][-1], builtins=bool(builtins))


def recurse(depth):
    """A function that calls itself."""
    return 0 if depth == 0 else 1 + recurse(depth - 1)


def recursion(depth):
    """A recursion, its result, and nothing else."""
    return measuring.measured(lambda: recurse(depth))


def started_in_the_midst(depth):
    """The collector starts and stops at the bottom of frames that are open then."""
    agent = measuring.Agent()

    def bottom(left):
        if left:
            return bottom(left - 1) + recurse(1)
        agent.start()
        return recurse(2)

    value = bottom(depth)
    agent.stop()
    return agent.result(value=value)


def numbers():
    """A generator that is not exhausted."""
    for value in range(10):
        recurse(1)
        yield value


def closed_early(count):
    """Generators that are closed while suspended, each followed by a call; then a chain of calls."""

    def action():
        for _ in range(count):
            generator = numbers()
            next(generator)
            next(generator)
            generator.close()
            recurse(0)
        return recurse(3)

    return measuring.measured(action)


def raising(value):
    """Called by C code, raises at an odd value."""
    if value % 2:
        raise LookupError(value)
    return value


def through_c():
    """An exception that passes a C function between two Python functions."""
    return list(map(raising, [0, 2, 4, 5, 6]))


def exceptions_through_c(count):
    """Exceptions that end C functions and the Python functions below them."""

    def action():
        caught = 0
        for _ in range(count):
            try:
                through_c()
            except LookupError:
                caught += 1
            recurse(0)
        return caught

    return measuring.measured(action)


def make_function(number):
    """A function of its own name."""
    namespace = {}
    exec(f"def made_{number}(): return {number}", namespace)  # noqa: S102 - as many functions as it takes
    return namespace[f"made_{number}"]


def over_the_limit(count, max_memory_bytes):
    """Calls of more functions than the memory limit has room for, twice each, each with a call below it."""
    functions = [make_function(number) for number in range(count)]

    def nested(function):
        function()
        return recurse(1)

    def action():
        total = 0
        for _ in range(2):
            for function in functions:
                total += nested(function)
        return total

    return measuring.measured(action, max_memory_bytes=max_memory_bytes)


def resting(left):
    """A function that rests, in its own time and below another call."""
    time.sleep(0.03)
    return recurse(2) if left else 0


def rest_over_the_limit(times, max_memory_bytes):
    """Calls of more functions than there is room for, and then a rest in one that there is no room for."""
    functions = [make_function(number) for number in range(1000)]

    def action():
        total = sum([function() for function in functions])
        for _ in range(times):
            total += resting(1)
        return total

    return measuring.measured(action, max_memory_bytes=max_memory_bytes)


def begun_over_the_limit(depth, max_memory_bytes):
    """The collector starts within more frames than there is room for, of as many functions; then it goes up again."""
    agent = measuring.Agent(max_memory_bytes=max_memory_bytes)

    def innermost():
        agent.start()
        return 0

    action = innermost
    for number in range(depth):
        namespace = {"below": action}
        exec(f"def made_{number}(): return 1 + below()", namespace)  # noqa: S102 - as many functions as it takes
        action = namespace[f"made_{number}"]

    value = action()
    recurse(1)
    agent.stop()
    return agent.result(value=value)


def snapshots(count):
    """Snapshots while it goes on: the calls of `recurse` in each."""
    agent = measuring.Agent()
    tables = []
    agent.start()
    for _ in range(count):
        recurse(1)
        agent.do(lambda: tables.append(agent.result()["table"]))
    agent.stop()
    return agent.result(tables=tables)


def stopped_twice():
    """Stopping again changes nothing; what was recorded stays."""
    agent = measuring.Agent()
    agent.start()
    recurse(2)
    agent.stop()
    recurse(5)
    first = agent.result()
    agent.stop()
    recurse(5)
    return {**first, "again": agent.result()["table"]}


if __name__ == "__main__":
    # The recursion of the tests is deeper than what the interpreter allows in some of its versions.
    sys.setrecursionlimit(5000)
    measuring.serve(
        {
            "workload": workload_passes,
            "recursion": recursion,
            "started_in_the_midst": started_in_the_midst,
            "closed_early": closed_early,
            "exceptions_through_c": exceptions_through_c,
            "over_the_limit": over_the_limit,
            "rest_over_the_limit": rest_over_the_limit,
            "begun_over_the_limit": begun_over_the_limit,
            "snapshots": snapshots,
            "stopped_twice": stopped_twice,
        }
    )
