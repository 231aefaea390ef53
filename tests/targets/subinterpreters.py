"""A process with several interpreters.

Known: it makes as many beside the main one as the first argument says. With "inside" as the second the main thread
is within the last of them for ever, in time.sleep or, with "computing" as the third, in a loop. "count" answers how
often "count" was asked, "state" what the main interpreter holds; a second thread answers where the first is inside.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

COUNT = [0]
SLEEPING = "import time\nwhile True:\n    time.sleep(0.01)\n"
COMPUTING = "while True:\n    sum(range(100))\n"


def count():
    """One more command."""
    COUNT[0] += 1
    return COUNT[0]


def main():
    """Ends with stdin."""
    made = [interpreters.create() for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 1)]
    actions = {"count": count, "state": line_protocol.state}
    if sys.argv[2:3] != ["inside"]:
        line_protocol.ready()
        line_protocol.serve(actions)
        return
    line_protocol.serve_beside(actions)
    line_protocol.ready()
    interpreters.run_string(made[-1], COMPUTING if sys.argv[3:] else SLEEPING)


if __name__ == "__main__":
    main()
