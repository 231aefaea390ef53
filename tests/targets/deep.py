"""A main thread that computes a few frames below its recursion limit, until it is told something.

Known: what it is told first brings it back up, and is answered with how often it has gone round meanwhile; after that
"state" answers what the process holds, "work N" runs N passes of the workload. An argument is how many frames are left.
Nothing is written to stderr.
"""

import os
import select
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol
import workload


def depth():
    """The number of frames of this thread."""
    count, frame = 0, sys._getframe(1)  # noqa: SLF001 -- there is no other way
    while frame is not None:
        count, frame = count + 1, frame.f_back
    return count


def descend(frames):
    """Goes so many frames deeper and stays there."""
    return descend(frames - 1) if frames > 0 else stay()


def stay():
    """Computes until something lies on stdin."""
    line_protocol.ready()
    rounds = 0
    while not select.select([line_protocol.STDIN_FD], [], [], 0)[0]:
        rounds += sum(number & 1 for number in range(1000)) > 0
    return rounds


def main():
    """Ends with stdin."""
    left = int(sys.argv[1])
    rounds = descend(sys.getrecursionlimit() - depth() - left)
    next(line_protocol.commands())
    line_protocol.say(str(rounds))
    line_protocol.serve({"state": line_protocol.state, "work": workload.repeat})


if __name__ == "__main__":
    main()
