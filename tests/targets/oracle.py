"""cProfile's own numbers for the known workload, in a fresh process.

Known: on the command "profile N" the answer lists [file, line, name, primitive calls, calls] for N passes of
`workload.run`; the same passes run once before, so that nothing is measured that happens only the first time.
"""

import cProfile
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol
import workload


def profile(passes):
    """What cProfile counts for so many passes."""
    workload.run()
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(passes):
        workload.run()
    profiler.disable()
    profiler.create_stats()
    return [[*key, value[0], value[1]] for key, value in sorted(profiler.stats.items())]


if __name__ == "__main__":
    line_protocol.ready()
    line_protocol.serve({"profile": profile})
