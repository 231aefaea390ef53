"""Forks as soon as an agent's marker is among its descriptors: its child has what it has, and has a child too.

Known: the first argument is how long the child stays stopped, milliseconds, before this process lets it go on; with the
second argument "replaced" a function that all code uses is one of the program's own, so that no agent stays. "family"
answers the two PIDs. They end with this process.
"""

import builtins
import os
import select
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

POLL_S = 0.001


def outlive(parent):
    """A descendant's life."""
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os._exit(0)


def family():
    """Starts both; the child stops itself. Their PIDs."""
    reading, writing = os.pipe()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        own, grandchild = os.getpid(), os.fork()
        if grandchild == 0:
            outlive(own)
        os.write(writing, str(grandchild).encode())
        os.kill(own, signal.SIGSTOP)
        outlive(parent)
    os.close(writing)
    grandchild = int(os.read(reading, line_protocol.CHUNK_BYTES))
    os.close(reading)
    return child, grandchild


def main():
    """Ends with stdin."""
    if sys.argv[2:] == ["replaced"]:
        length = len
        builtins.len = lambda value: length(value)
    line_protocol.ready()
    # Told of its end alone: what is asked meanwhile is answered afterwards.
    ended = select.poll()
    ended.register(line_protocol.STDIN_FD, 0)
    while not any("/memfd:execd:" in descriptor for descriptor in line_protocol.open_fds()):
        if ended.poll(POLL_S * 1000):
            return
    pids = family()
    time.sleep(int(sys.argv[1]) / 1000)
    os.kill(pids[0], signal.SIGCONT)
    line_protocol.serve({"family": lambda: pids})


if __name__ == "__main__":
    main()
