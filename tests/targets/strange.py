"""Work in modules whose sources are written strangely.

    strange.py FOLDER

The modules are all those in FOLDER; each has a function `work`. "work" calls all of them and "done" answers; "trace"
answers what `trace` of the standard library says of the same work, as `benchmarked` does.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import benchmarked
import line_protocol


def main():
    """Serves until stdin ends."""
    folder = sys.argv[1]
    sys.path.append(folder)
    modules = [__import__(name[:-3]) for name in sorted(os.listdir(folder)) if name.endswith(".py")]

    def work():
        for module in modules:
            module.work()

    line_protocol.ready()
    for command in line_protocol.commands():
        if command == "work":
            work()
            line_protocol.say("done")
        else:
            line_protocol.say(json.dumps(benchmarked.traced(work)))


if __name__ == "__main__":
    main()
