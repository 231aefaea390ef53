"""A second thread computes until the first line on stdin, and then executes another program, which says "executed".

Known: the end of stdin ends that, too.
"""

import os
import select
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

EXECUTED = "import os\nos.write(1, b'executed\\n')\nwhile os.read(0, 4096):\n    pass\n"


def compute():
    """Returns where something lies on stdin."""
    while not select.select([line_protocol.STDIN_FD], [], [], 0)[0]:
        sum(range(1000))
    os.execv(sys.executable, [sys.executable, "-I", "-c", EXECUTED])  # noqa: S606 -- what is tested


def main():
    """Ends with stdin."""
    thread = threading.Thread(target=compute)
    thread.start()
    line_protocol.ready()
    thread.join()


if __name__ == "__main__":
    main()
