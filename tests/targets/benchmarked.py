"""Programs of pyperformance, each run as the program that it is, once and on small data.

    benchmarked.py FOLDER PROGRAM

FOLDER holds the package pyperformance. On "work" the program runs once and "done" answers; nothing else that has a
file runs in between, but this file and `line_protocol`. On "trace" the answer is what `trace` of the standard library
says of the same work: the counts by file and line, the summary that it prints, its listings by name, the functions,
and the pairs of caller and callee. "coverage" does it under coverage.py, in all files, and answers with the path of its
data file, in a new folder. The programs' own times are not taken: `pyperf` here is a stand-in.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
import trace
import types

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

# Of each program: its arguments, globals that say how much it does, and the arguments of what it would have timed.
SIZES = {
    "nbody": (["--iterations", "50"], {}, None),
    "fannkuch": ([], {}, (5,)),
    "float": ([], {}, (100,)),
    "chaos": (["--width", "16", "--height", "16", "--iterations", "100"], {}, None),
    "deltablue": ([], {}, (10,)),
    "hexiom": (["--level", "2"], {}, None),
    "nqueens": ([], {}, (5,)),
    "go": ([], {"GAMES": 2}, None),
    "raytrace": (["--width", "5", "--height", "5"], {}, None),
    "spectral_norm": ([], {"DEFAULT_N": 10}, None),
    "json_dumps": (["--cases", "EMPTY,SIMPLE"], {}, None),
    "deepcopy": ([], {}, None),
    "comprehensions": ([], {}, None),
    "unpack_sequence": (["tuple"], {}, None),
}


class Runner:
    """What the programs use of pyperf's: it calls what they give it, once."""

    def __init__(self, add_cmdline_args=None):
        self.argparser = argparse.ArgumentParser()
        self.metadata = {}
        self.add_cmdline_args = add_cmdline_args

    def parse_args(self):
        """The arguments of the program."""
        return self.argparser.parse_args(sys.argv[1:])

    def bench_func(self, _name, function, *args, **_options):
        """Calls a function that does its work once."""
        _, names, small = SIZES[sys.argv[0]]
        function.__globals__.update(names)
        function(*(args if small is None else small))

    def bench_time_func(self, name, function, *args, **options):
        """Calls a function that does its work so many times."""
        self.bench_func(name, function, 1, *args, **options)


class Benchmark:
    """One program."""

    def __init__(self, folder, name):
        self.path = f"{folder}/pyperformance/data-files/benchmarks/bm_{name}/run_benchmark.py"
        sys.argv[:] = [name, *SIZES[name][0]]
        with open(self.path, encoding="utf-8") as file:
            self.text = file.read()

    def work(self):
        """Runs it. It is compiled anew: `trace` names no class of functions that two share the code of."""
        code = compile(self.text, self.path, "exec")
        exec(code, {"__name__": "__main__", "__file__": self.path})  # noqa: S102 - it is what is measured


def traced(work):
    """What trace says of a function's call."""
    counted, called, callers = (trace.Trace(trace=0, **{mode: 1}) for mode in ("count", "countfuncs", "countcallers"))
    for one in (counted, called, callers):
        one.runfunc(work)
    folder, text, listings = tempfile.mkdtemp(), io.StringIO(), {}
    with contextlib.redirect_stdout(text):
        counted.results().write_results(show_missing=True, summary=True, coverdir=folder)
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="latin-1", newline="") as file:
            listings[name] = file.read()
    shutil.rmtree(folder)
    return {
        "counts": [[*place, hits] for place, hits in counted.results().counts.items()],
        "summary": text.getvalue(),
        "listings": listings,
        "functions": sorted(called.results().calledfuncs),
        "callers": sorted(callers.results().callers),
    }


def covered(work, packages):
    """The data file of coverage.py of a function's call."""
    sys.path.append(packages)
    import coverage  # noqa: PLC0415 - it is there for this command alone

    path = os.path.join(tempfile.mkdtemp(), "theirs")
    # Its own calls are not part of the work, nor what they reach in threading.
    omitted = ["*/coverage/*", "*/threading.py"]
    measured = coverage.Coverage(data_file=path, config_file=False, include=["*"], omit=omitted)
    measured.start()
    work()
    measured.stop()
    measured.save()
    return path


def main():
    """Serves until stdin ends."""
    folder, name = sys.argv[1:]
    sys.modules["pyperf"] = types.SimpleNamespace(Runner=Runner, perf_counter=time.perf_counter)
    benchmark = Benchmark(folder, name)
    # Once for what happens the first time alone.
    benchmark.work()
    line_protocol.ready()
    for command in line_protocol.commands():
        if command == "work":
            benchmark.work()
            line_protocol.say("done")
        elif command == "trace":
            line_protocol.say(json.dumps(traced(benchmark.work)))
        else:
            line_protocol.say(json.dumps(covered(benchmark.work, folder)))


if __name__ == "__main__":
    main()
