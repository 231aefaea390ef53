"""How deep a program comes before the interpreter's limit, calling at each depth a function that was never called."""

import sys

import measuring  # it sets the path for the others

LIMIT = 400


def made(number):
    """A function of its own name."""
    namespace = {}
    exec(f"def made_{number}(): return {number}", namespace)  # noqa: S102 - as many functions as it takes
    return namespace[f"made_{number}"]


def descend(functions, depth):
    """How deep it came."""
    try:
        functions[depth]()
        return descend(functions, depth + 1)
    except RecursionError:
        return depth


def depths():
    """How deep it comes alone, and while it is recorded for the first time and once more."""
    sys.setrecursionlimit(LIMIT)
    functions, others = ([made(number) for number in range(LIMIT)] for _ in range(2))
    agent = measuring.Agent(bias=0.0)
    alone = descend(functions, 0)
    agent.start()
    recorded = [descend(functions, 0), descend(functions, 0), descend(others, 0)]
    agent.stop()
    return agent.result(alone=alone, recorded=recorded)


if __name__ == "__main__":
    measuring.serve({"depths": depths})
