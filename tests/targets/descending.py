"""A main thread that waits for stdin, so many frames deep as the argument says. The end of stdin ends it."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

FRAMES = int(sys.argv[1]) if len(sys.argv) > 1 else 100


def descend(frames):
    """Goes so many frames deeper, and waits there."""
    if frames:
        descend(frames - 1)
    else:
        line_protocol.ready()
        os.read(line_protocol.STDIN_FD, 1)


def main():
    """Ends with stdin."""
    sys.setrecursionlimit(FRAMES + 1000)
    descend(FRAMES)


if __name__ == "__main__":
    main()
