"""What execd says that recording calls costs, beside what it does cost: an A/B of the same program.

    python benchmarks/bench_overhead.py [--rounds 5] [--seconds 3] [--versions 3.11,3.13] [--forms native,python]

Each program of tests/targets/costed.py runs alone and recorded in turn, attached to and left by a daemon, and tells how
long a run of it takes, by CPU time. Prints a table for benchmarks/RESULTS.md: what was expected after the first 100 ms,
what was told while it recorded, what an A/B shows, and the ratio of the last two, medians over the rounds.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median
from typing import IO, TYPE_CHECKING, Final, NamedTuple

sys.path[:0] = [str(Path(__file__).parent.parent / folder) for folder in ("tests", "daemon", "inprocess")]

from daemons import Daemon  # noqa: E402 - found by what stands above
from interpreters import Interpreter, find_interpreters  # noqa: E402 - as above

if TYPE_CHECKING:
    from execctl.client import Client

ROUNDS: Final = 5
SECONDS: Final = 3.0
# How often a target tells, by its CPU time.
TOLD_S: Final = 0.1
PROGRAMS: Final = ("calls", "c_functions", "methods", "generators")
COLUMNS: Final = ("Python", "form", "program", "events/s", "expected", "told", "A/B", "told, of A/B")
TARGET: Final = Path(__file__).parent.parent / "tests" / "targets" / "costed.py"


class Round(NamedTuple):
    """What one recording came to: shares, and events a second."""

    events_per_s: float
    expected: float
    told: float
    measured: float


class Target:
    """A program that runs, and what it has told so far."""

    def __init__(self, interpreter: Interpreter, program: str) -> None:
        command = [*interpreter.argv, "-c", TARGET.read_text(encoding="utf-8"), program]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._told: list[float] = []
        assert self.process.stdout is not None
        self.process.stdout.readline()
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()

    def run_s(self, cpu_s: float) -> float:
        """Returns how long a run takes, the median of what it tells from now on, for so much CPU time of its own."""
        begun = len(self._told) + 1
        while len(self._told) < begun + max(cpu_s / TOLD_S, 1):
            time.sleep(TOLD_S)
        return median(self._told[begun:])

    def end(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.wait()

    def _read(self, lines: IO[str]) -> None:
        self._told += map(float, lines)


def measure(client: Client, target: Target, form: str, seconds: float) -> Round:
    """Returns what recording a program costs, told and measured."""
    before = target.run_s(seconds)
    with client.attach(target.process.pid, profile=True, form=form) as recording:
        expected = client.overhead(recording.sessions[0].id)
        time.sleep(1.5)
        during = target.run_s(seconds)
        told = client.overhead(recording.sessions[0].id)
    alone = (before + target.run_s(seconds)) / 2
    # What is expected is not told where the machine has too much else to do.
    shares = [math.nan if one is None or one.share is None else one.share for one in (expected, told)]
    return Round(told.events_per_s if told else math.nan, *shares, during / alone - 1)


def line(version: str, form: str, program: str, rounds: list[Round]) -> str:
    """Returns a line of the table."""
    events, expected, told, measured = (median(values) for values in zip(*rounds, strict=True))
    ratio = median(one.told / one.measured for one in rounds)
    shares = f"{expected:.0%} | {told:.0%} | {measured:.0%}"
    return f"| {version} | {form} | {program} | {events:,.0f} | {shares} | {ratio:.2f} |"


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--versions", default="", help="of Python; all that there are without it")
    parser.add_argument("--forms", default="native,python")
    asked = parser.parse_args()
    found = find_interpreters(os.environ)
    print(f"{platform.platform()}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    with Daemon() as daemon, daemon.client() as client:
        for version in [one for one in asked.versions.split(",") if one] or list(found):
            for form in asked.forms.split(","):
                for program in PROGRAMS:
                    target = Target(found[version], program)
                    try:
                        rounds = [measure(client, target, form, asked.seconds) for _ in range(asked.rounds)]
                    finally:
                        target.end()
                    print(line(version, form, program, rounds), flush=True)


if __name__ == "__main__":
    main()
