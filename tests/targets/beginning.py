"""One thread, and no threading module until it is told to import it.

Known: "threads N" has N threads, one after the other, call `leaf` 100 times each, and answers how often in all.
"""

import sys

CALLS = 100


def leaf():
    """Is called."""


def work():
    """What a thread does."""
    for _ in range(CALLS):
        leaf()


def begin(count):
    """Imports what starts threads."""
    import threading  # noqa: PLC0415 - as the docstring says

    for _ in range(count):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    return count * CALLS


def say(text):
    """Writes a line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main():
    """Ends with stdin; without the line protocol, which has threads."""
    say("ready")
    for line in sys.stdin:
        say(str(begin(int(line.split()[1]))))


if __name__ == "__main__":
    main()
