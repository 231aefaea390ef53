"""A program whose threads wait, or one of which computes; it says what an onlooker must find.

Arguments: how many threads it has beside the main one, and "busy" where the main one computes.
"""

import json
import sys
import threading


def recurse(depth, then):
    """Calls a function below so many frames."""
    return then() if depth == 0 else recurse(depth - 1, then)


def main():
    """Until stdin ends."""
    count = int(sys.argv[1])
    waiting = threading.Semaphore(0)
    begun = threading.Semaphore(0)

    def wait():
        begun.release()
        waiting.acquire()

    threads = [threading.Thread(target=wait, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for _ in threads:
        begun.acquire()
    facts = {
        "version": ".".join(map(str, sys.version_info[:3])),
        "main": threading.get_ident(),
        "threads": sorted(thread.ident for thread in threading.enumerate()),
        "limit": sys.getrecursionlimit(),
    }
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()
    if sys.argv[2:] == ["busy"]:
        while True:
            recurse(10, int)
    sys.stdin.buffer.raw.read(1)


if __name__ == "__main__":
    main()
