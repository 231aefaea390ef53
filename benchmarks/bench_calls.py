"""What recording calls costs, beside cProfile: small programs that do little but call.

    python benchmarks/bench_calls.py [--rounds 30] [--versions 3.11,3.13]

The programs are those of tests/drivers/costing.py: each runs alone, under cProfile and recorded, in turn, in one
process, by CPU time. Prints a table for benchmarks/RESULTS.md: how many times slower each is, medians over the rounds;
and what recording adds, of what cProfile adds, with the 95% interval of the median. Once with C functions and once
without, in the native form and in that of Python.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from pathlib import Path
from statistics import median
from typing import Final

sys.path[:0] = [str(Path(__file__).parent.parent / folder) for folder in ("tests", "daemon", "inprocess")]

from agent_drivers import Drivers  # noqa: E402 - found by what stands above
from interpreters import find_interpreters  # noqa: E402 - as above

ROUNDS: Final = 30
FORMS: Final = ("native", "python")
COLUMNS: Final = ("Python", "form", "C functions", "program", "cProfile", "recorded", "added, of cProfile's")


def interval(values: list[float]) -> tuple[float, float]:
    """Return the 95% interval of a median: order statistics, by the normal approximation of the binomial."""
    ranked = sorted(values)
    half = 0.98 * len(ranked) ** 0.5
    low, high = int(len(ranked) / 2 - half), int(len(ranked) / 2 + half + 0.5)
    return ranked[max(low, 0)], ranked[min(high, len(ranked) - 1)]


def line(version: str, form: str, builtins: int, name: str, rounds: list[list[float]]) -> str:
    """Return a line of the table."""
    shares = [(recorded - alone) / (profiled - alone) for alone, profiled, recorded in rounds]
    low, high = interval(shares)
    slower = [median(one[index] / one[0] for one in rounds) for index in (1, 2)]
    cells = (version, form, "yes" if builtins else "no", name, *(f"{one:.2f}x" for one in slower))
    return f"| {' | '.join(cells)} | {median(shares):.2f} [{low:.2f}, {high:.2f}] |"


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--versions", default="", help="of Python; all that there are without it")
    asked = parser.parse_args()
    found = find_interpreters(os.environ)
    chosen = [one for one in asked.versions.split(",") if one] or list(found)
    print(f"{platform.platform()}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    drivers = Drivers()
    try:
        for version in chosen:
            for form in FORMS:
                for builtins in (1, 0):
                    measured = drivers.in_form(form).run(found[version], "costing", "costs", asked.rounds, builtins)
                    for name, rounds in measured.items():
                        print(line(version, form, builtins, name, rounds), flush=True)
    finally:
        drivers.remove()


if __name__ == "__main__":
    main()
