"""10,000 functions, called in turn for ever; each works for some 20 us.

Known: their names, function_0 to function_9999. A second thread, blocked in a read, ends the program with stdin.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

FUNCTIONS = 10000
SOURCE = "def function_%d():\n    total = 0\n    for value in range(300):\n        total += value\n    return total\n"


def main():
    """Never returns."""
    scope = {}
    for number in range(FUNCTIONS):
        exec(compile(SOURCE % number, "/srv/part%d.py" % (number % 97), "exec"), scope)  # noqa: S102, UP031 -- constant
    functions = [scope["function_%d" % number] for number in range(FUNCTIONS)]  # noqa: UP031 -- as of 3.9
    line_protocol.serve_beside({"state": line_protocol.state})
    line_protocol.ready()
    while True:
        for function in functions:
            function()


if __name__ == "__main__":
    main()
