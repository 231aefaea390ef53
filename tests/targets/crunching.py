"""numpy adds up objects in one call after the other, which hold the GIL for most of a second and run no bytecode.

Known: every sum is the same. "count" answers how many calls there were and how many had another result; it is
answered by a second thread when it gets the GIL. The argument is the folder of numpy.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, sys.argv[1])

import line_protocol
import numpy as np

SIZE = 4_000_000


def main():
    """Never returns."""
    done = [0, 0]
    line_protocol.serve_beside({"count": lambda: done})
    values = np.arange(SIZE).astype(object)
    line_protocol.ready()
    while True:
        done[values.sum() != SIZE * (SIZE - 1) // 2] += 1


if __name__ == "__main__":
    main()
