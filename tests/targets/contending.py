"""So many threads as the argument says that compute all the time: all but one wait for the GIL. Ends with stdin."""

import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol


def contend():
    """Calls nothing, for ever."""
    number = 0
    while True:
        number += 1


def main():
    """Ends with stdin."""
    for number in range(int(sys.argv[1]) if len(sys.argv) > 1 else 2):
        threading.Thread(target=contend, name=f"contending-{number}", daemon=True).start()
    line_protocol.ready()
    line_protocol.serve({})


if __name__ == "__main__":
    main()
