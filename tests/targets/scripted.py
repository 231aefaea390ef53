"""A main thread into which a debugger's script is sent: idle, or inside of C code that holds the GIL.

Known: the script that the tests send calls `ran`; "count" answers how often that was; "block" holds the GIL until one
more line of one letter comes, and answers true; "work N" runs N passes of the
workload; "state" answers what this process holds.
"""

import ctypes
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol
import workload

RAN = []
# PyDLL calls without letting the GIL go.
READ = ctypes.PyDLL(None).read


def ran():
    """The script runs."""
    RAN.append(len(RAN))


def block():
    """Holds the GIL inside of a C function."""
    line_protocol.say("blocking")
    return READ(line_protocol.STDIN_FD, ctypes.create_string_buffer(2), 2) == 2


def main():
    """Ends with stdin."""
    actions = {"count": lambda: len(RAN), "block": block, "work": workload.repeat, "state": line_protocol.state}
    line_protocol.ready()
    line_protocol.serve(actions)


if __name__ == "__main__":
    main()
