"""One thread, blocked in os.read on stdin.

Known: "work N" runs N passes of the workload and answers the sum of their checksums; "count" answers how many
commands were read, this one among them; "state" answers what this process holds; "interned" how many texts the
interpreter keeps one copy of, 0 where it does not tell.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol
import workload


def main():
    """Ends with stdin."""
    reads = []
    interned = getattr(sys, "getunicodeinternedsize", int)
    actions = {
        "work": workload.repeat,
        "count": lambda: len(reads),
        "state": line_protocol.state,
        "interned": interned,
    }
    line_protocol.ready()
    for command in line_protocol.commands():
        reads.append(command)
        line_protocol.answer(command, actions)


if __name__ == "__main__":
    main()
