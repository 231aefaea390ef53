"""How much a recording takes of the process, against what it says: each grows until its budget is used up.

"paths": ever new stacks of 60 functions; "codes": ever new functions, called once, whose code the tree alone keeps.
"""

import os
import random

import measuring

DEPTH = 8
FUNCTIONS = 60


def resident_bytes():
    """Resident memory of this process."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def paths(max_memory_bytes):
    """New stacks."""
    namespace = {"functions": []}
    body = "def step{0}(depth, seed):\n if depth: functions[seed % 60](depth - 1, seed // 60 + depth * 7)\n"
    text = body + "functions.append(step{0})"
    for number in range(FUNCTIONS):
        exec(text.format(number), namespace)  # noqa: S102 - as many functions as it takes
    functions = namespace["functions"]
    choose = random.Random(1)  # noqa: S311 - the same ones in every run
    return grown(max_memory_bytes, lambda: functions[choose.randrange(FUNCTIONS)](DEPTH, choose.randrange(10**12)))


def codes(max_memory_bytes):
    """New functions."""
    made = []

    def work():
        made.append(None)
        namespace = {}
        text = "def f(a):\n b = [a + {0} for a in range(2)]\n return dict(x{0}=b, y=str(a))\nf(1)"
        exec(text.format(len(made)), namespace)  # noqa: S102 - as programs that make their code do

    return grown(max_memory_bytes, work)


def grown(max_memory_bytes, work):
    """Resident and accounted memory after as much work as it takes to lose calls."""
    agent = measuring.Agent(max_memory_bytes=max_memory_bytes)
    agent.start()
    before = resident_bytes()
    while not agent.collector.lost_calls:
        for _ in range(100):
            work()
    after = resident_bytes()
    agent.stop()
    return {"resident_bytes": after - before, "accounted_bytes": agent.collector.memory_bytes}


if __name__ == "__main__":
    measuring.serve({"paths": paths, "codes": codes})
