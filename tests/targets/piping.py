"""The main thread writes numbered lines to a full pipe, by os.write ("write") or an unbuffered text stream ("print").

The first argument says which; with the second one "beside" another thread waits for stdin, whose end ends the program.
Each block is larger than a pipe, so that the thread waits in write(2) with some of it written. Known: the blocks come
one after the other, without a byte lost or doubled, then the program ends with exit code 0; with 3 where a write has
ended early. "ready N" names the descriptor at which the pipe is read.
"""

import io
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

BLOCK_LINES = 20_000
BLOCKS = 3


def block(number):
    """The lines of a block."""
    first = number * BLOCK_LINES
    return "".join(f"{line:09d}\n" for line in range(first, first + BLOCK_LINES))


def main():
    """Writes all blocks and ends with exit code 0; with 3 where a write ended early."""
    reading, writing = os.pipe()
    if "beside" in sys.argv:
        line_protocol.serve_beside({})
    stream = io.TextIOWrapper(io.FileIO(writing, "w"), encoding="ascii", write_through=True)
    line_protocol.ready(str(reading))
    for number in range(BLOCKS):
        if sys.argv[1] == "print":
            print(block(number), end="", file=stream, flush=True)
        elif os.write(writing, block(number).encode("ascii")) != 10 * BLOCK_LINES:
            os._exit(3)
    os._exit(0)


if __name__ == "__main__":
    main()
