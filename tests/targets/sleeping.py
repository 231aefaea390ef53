"""One thread, in time.sleep nearly always.

Known: sleep number N of the milliseconds given as argument (1000) ends after that time and not before; after
each the program says "woke N elapsed_ms", and with the second argument "state" what it holds, on a line of its
own. It takes no commands, and ends when nobody reads its lines.
"""

import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol


def sleep_once(number, sleep_ms):
    """One sleep, measured by the clock that time.sleep keeps to."""
    started = time.monotonic()
    time.sleep(sleep_ms / 1000)
    line_protocol.say(f"woke {number} {(time.monotonic() - started) * 1000:.3f}")


def main():
    """Never returns."""
    sleep_ms = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    tells_state = sys.argv[2:] == ["state"]
    line_protocol.ready()
    number = 0
    while True:
        number += 1
        sleep_once(number, sleep_ms)
        if tells_state:
            line_protocol.say(json.dumps(line_protocol.state()))


if __name__ == "__main__":
    main()
