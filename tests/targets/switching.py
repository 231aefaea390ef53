"""One thread that reads commands; its switch interval is the first argument, microseconds (5000).

Known: "interval" answers what it is now, in seconds.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol


def main():
    """Ends with stdin."""
    interval_us = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    # Half a microsecond more: the interpreter cuts fractions off.
    sys.setswitchinterval((interval_us + 0.5) / 1e6)
    line_protocol.ready()
    line_protocol.serve({"interval": sys.getswitchinterval})


if __name__ == "__main__":
    main()
