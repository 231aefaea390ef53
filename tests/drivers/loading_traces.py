"""What the tracemalloc module makes of a snapshot file, whose bytes are the argument, in hexadecimal digits."""

import json
import os
import sys
import tempfile
import tracemalloc


def main():
    """Prints what it loaded."""
    descriptor, path = tempfile.mkstemp()
    with os.fdopen(descriptor, "wb") as file:
        file.write(bytes.fromhex(sys.argv[1]))
    snapshot = tracemalloc.Snapshot.load(path)
    os.unlink(path)
    found = {"limit": snapshot.traceback_limit, "statistics": [str(one) for one in snapshot.statistics("lineno")]}
    print(json.dumps(found))  # noqa: T201 - the test reads it


if __name__ == "__main__":
    main()
