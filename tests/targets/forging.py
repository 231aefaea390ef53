"""A program that changes what is recorded of it: "forge N" writes N bytes at random into those tables.

It may end of that, for the code that records believes what it has written itself.
"""

import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol


def step():
    """Called so that there are tables of something."""


def tables():
    """Where they are in memory: start and end."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        for line in maps:
            if "execd_tables" in line:
                return [int(part, 16) for part in line.split()[0].split("-")]
    raise LookupError("nothing is recorded")


def forge(count):
    """Writes as the kernel does, past all that the agent may have."""
    for _ in range(100):
        step()
    start, end = tables()
    memory = os.open("/proc/self/mem", os.O_RDWR)
    # What is used of them is at the begin.
    for number in os.urandom(count):
        place = random.randrange(min(end - start, 8192))  # noqa: S311 - any will do
        os.pwrite(memory, bytes([number]), start + place)
    os.close(memory)
    return count


def main():
    """Serves until stdin ends."""
    line_protocol.ready()
    line_protocol.serve({"forge": forge, "tables": tables, "state": line_protocol.state})


if __name__ == "__main__":
    main()
