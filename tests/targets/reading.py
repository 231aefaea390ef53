"""One thread, blocked in os.read on stdin.

Known: "work N" runs N passes of the workload and answers the sum of their checksums; "count" answers how many
commands were read, this one among them; "state" answers what this process holds.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol
import workload


def main():
    """Ends with stdin."""
    reads = []
    actions = {"work": workload.repeat, "count": lambda: len(reads), "state": line_protocol.state}
    line_protocol.ready()
    for command in line_protocol.commands():
        reads.append(command)
        line_protocol.answer(command, actions)


if __name__ == "__main__":
    main()
