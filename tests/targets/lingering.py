"""Forks on command, and its child stays in an at-fork hook of the program's own for a while.

Known: the first argument is the time, milliseconds; the hook was registered before all others. "fork" says the child's
PID. The child works until its parent has ended, as the end of stdin has it do.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol
import workload


def fork():
    """Starts a child."""
    parent, pid = os.getpid(), os.fork()
    if pid == 0:
        while os.getppid() == parent:
            workload.repeat(1)
        os._exit(0)
    return pid


def main():
    """Serves until stdin ends."""
    os.register_at_fork(after_in_child=lambda: time.sleep(int(sys.argv[1]) / 1000))
    line_protocol.ready()
    line_protocol.serve({"fork": fork})


if __name__ == "__main__":
    main()
