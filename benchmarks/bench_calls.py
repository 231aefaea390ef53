"""What recording calls costs, beside cProfile: programs that call in many ways, and some of pyperformance's.

    python benchmarks/bench_calls.py [--rounds 30] [--versions 3.11,3.13] [--no-builtins] [--json FILE]

The programs are those of tests/drivers/costed.py and costed_pyperformance.py. In each round each of them runs, by the
CPU time of all its threads: alone, twice; under cProfile; recorded; heard by C functions that do nothing, which is what
the interpreter takes for it (the floor, calls_floor.c); under yappi and VizTracer on 3.11 and 3.13. In turns within
one process, each time in another order; a new process every few rounds. Before that a process that runs them is
attached to, and the profile that is stored of it must be of the form that is measured, as must be each collector later.

Prints tables for benchmarks/RESULTS.md, with C functions and without: how many times slower each program is, and what
is added, of what cProfile adds, medians over the rounds with their 95% intervals; "all" is the sum over the programs;
"A/A" is what a program takes alone, beside what it takes alone: chance. A target holds that an interval reaches.
What is needed of PyPI is installed at the first time, below EXECD_BENCH_PACKAGES (~/.cache/execd-bench).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

sys.path[:0] = [str(Path(__file__).parent.parent / folder) for folder in ("tests", "daemon", "inprocess")]

from agent_drivers import Drivers  # noqa: E402 - found by what stands above
from calls_packages import default_place, prepare  # noqa: E402 - as above
from calls_runs import Subject, daemon, measure, stored_form  # noqa: E402 - as above
from calls_tables import Measured, overview, table  # noqa: E402 - as above
from interpreters import find_interpreters  # noqa: E402 - as above

if TYPE_CHECKING:
    from execctl import Client
    from interpreters import Interpreter

ROUNDS: Final = 30
# Of pyperformance's programs: all there, some elsewhere.
WHOLE: Final = ("3.11", "3.13", "3.15")
PYPERFORMANCE: Final = {True: 8, False: 4}


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """What was measured of one interpreter.

    Attributes:
        python: "3.13.0".
        stored_form: of a profile that was stored of the same programs.
        load: of the last minute, before and after.
        took_s: how long it took.
        measured: with C functions, without, or both.
    """

    python: str
    stored_form: str
    load: tuple[float, float]
    took_s: float
    measured: tuple[Measured, ...]


def processor() -> str:
    """Return what the machine says of its processors."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{len(names)} x {names[0].partition(':')[2].strip()}" if names else f"{os.cpu_count()} processors"


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--versions", default="", help="of Python; all that there are without it")
    parser.add_argument("--form", choices=("native", "python"), default="native")
    both = "with C functions alone, or without them alone; both if neither is given"
    parser.add_argument("--builtins", action=argparse.BooleanOptionalAction, default=None, help=both)
    parser.add_argument("--packages", type=Path, default=default_place(), help="where what PyPI has is, or is put")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all CPU times there, too")
    return parser.parse_args()


def subject(interpreter: Interpreter, asked: argparse.Namespace) -> Subject:
    """Return what is measured of an interpreter, with what it needs in its place."""
    count = PYPERFORMANCE[interpreter.version in WHOLE]
    return Subject(interpreter, prepare(interpreter, asked.packages.absolute()), count, asked.form)


def run(client: Client, drivers: Drivers, one: Subject, asked: argparse.Namespace) -> Run:
    """Measure one interpreter, and print its tables."""
    form = stored_form(client, drivers, one)
    assert form == one.form, f"the profile that was stored is of the {form} form"
    before, began = os.getloadavg()[0], time.monotonic()
    found = measure(drivers, one, asked.rounds, (True, False) if asked.builtins is None else (asked.builtins,))
    load = before, os.getloadavg()[0]
    done = Run(one.interpreter.full_version, form, load, time.monotonic() - began, tuple(found))
    print(f"CPython {done.python}: the stored profile is of the {form} form; {done.took_s:.0f} s, ", end="")
    print(f"load {load[0]:.1f} to {load[1]:.1f}\n", *map(table, found), sep="\n", flush=True)
    return done


def main() -> None:
    """Measure, and print."""
    asked = arguments()
    found = find_interpreters(os.environ)
    chosen = [one for one in asked.versions.split(",") if one] or list(found)
    machine = f"{platform.platform()}, {processor()}"
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    print(f"{machine}; {when}\n")
    runs: list[Run] = []
    drivers = Drivers()
    try:
        with daemon() as client:
            # One at a time: what was measured before an end is written.
            runs.extend(run(client, drivers, subject(found[version], asked), asked) for version in chosen)
    finally:
        drivers.remove()
        if asked.json:
            document = {"machine": machine, "when": when, "runs": [dataclasses.asdict(one) for one in runs]}
            asked.json.write_text(json.dumps(document) + "\n")
    print(overview([one for each in runs for one in each.measured]))


if __name__ == "__main__":
    main()
