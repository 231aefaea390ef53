"""One thread that, on command, does to itself what ends every attachment.

Known: "execute" executes this program again, which says "ready" again; "close" closes every descriptor above
stderr, opens files of its own under the first 100 numbers that are free then and answers how many it has;
"files" answers how many of those are open still and empty; "work N" runs N passes of the workload; "state"
answers what this process holds.
"""

import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol
import workload

FIRST_CLOSED = 3
HIGHEST = 256
OWN_FILES = 100


class Files:
    """Descriptors that belong to the program alone."""

    def __init__(self):
        self.numbers = []

    def close_all(self):
        """Closes what a daemon would close, and takes the numbers for itself."""
        os.closerange(FIRST_CLOSED, HIGHEST)
        self.numbers = [opened() for _ in range(OWN_FILES)]
        return self.untouched()

    def untouched(self):
        """How many are as they were opened."""
        return sum(map(is_empty_file, self.numbers))


def opened():
    """A new file without a name."""
    descriptor, path = tempfile.mkstemp()
    os.unlink(path)
    return descriptor


def is_empty_file(descriptor):
    """Whether a descriptor is open, and nobody has written to it."""
    try:
        return os.fstat(descriptor).st_size == 0
    except OSError:
        return False


def execute():
    """Replaces the program by itself; does not return."""
    os.execv(sys.executable, [sys.executable, "-I", "-B", os.path.abspath(__file__)])  # noqa: S606 -- itself


def main():
    """Ends with stdin."""
    files = Files()
    line_protocol.ready()
    line_protocol.serve(
        {
            "execute": execute,
            "close": files.close_all,
            "files": files.untouched,
            "work": workload.repeat,
            "state": line_protocol.state,
        },
    )


if __name__ == "__main__":
    main()
