"""Computes the same over and over, in floating point and vector registers, and counts results that differ.

It says "ready", computes until stdin ends, and prints how often it computed and how often the result was another.
"""

import hashlib
import math
import select
import sys
import zlib

DATA = bytes(range(256)) * 256
VALUES = [1.0 / value for value in range(1, 3000)]


def compute():
    """A result of every kind of register."""
    return (
        math.fsum(VALUES),
        sum(math.sin(value) * value for value in VALUES[:500]),
        math.sqrt(sum(VALUES)),
        zlib.crc32(DATA),
        hashlib.sha256(DATA).hexdigest(),
        sum(range(1000)),
        2**200 % 97,
    )


def main():
    """Runs until stdin ends."""
    expected = compute()
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    rounds = wrong = 0
    while not poll.poll(0):
        rounds += 1
        wrong += compute() != expected
    sys.stdout.write(f"{rounds} {wrong}\n")


if __name__ == "__main__":
    main()
