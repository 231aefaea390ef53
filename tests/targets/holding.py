"""The main thread answers commands; "hold N" holds the GIL for N milliseconds inside of a C function.

Known: its answer is how often it has held the GIL. No other thread runs Python meanwhile. "block" holds it until
another byte comes, and answers the same.
"""

import ctypes
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol


def main():
    """Serves until stdin ends."""
    # PyDLL calls without letting the GIL go.
    library = ctypes.PyDLL(None)
    usleep, read = library.usleep, library.read
    held = []

    def hold(milliseconds):
        held.append(milliseconds)
        line_protocol.say("holding")
        usleep(milliseconds * 1000)
        return len(held)

    def block():
        held.append(0)
        line_protocol.say("holding")
        read(line_protocol.STDIN_FD, ctypes.create_string_buffer(1), 1)
        return len(held)

    line_protocol.ready()
    line_protocol.serve({"hold": hold, "block": block, "state": line_protocol.state})


if __name__ == "__main__":
    main()
