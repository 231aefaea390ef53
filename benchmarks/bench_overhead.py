"""What execd says that recording calls costs, beside what it does cost: an A/B of the same program.

    python benchmarks/bench_overhead.py [--rounds 5] [--seconds 1] [--versions 3.11,3.13] [--forms native,python]
        [--programs calls,richards] [--packages FOLDER]

Programs: those of tests/targets/costed.py; some of pyperformance, which are installed into FOLDER as for bench_calls;
and a service that mostly waits. Prices were fitted to the first ones. Each runs alone and recorded in turn, attached to
and left by a daemon, and tells how long a run takes, by the CPU time of its own threads. Prints a table for
benchmarks/RESULTS.md: what was expected after the first 100 ms, what was told when it had recorded for some seconds,
what an A/B shows, and told of A/B, medians over the rounds; then of how many of pyperformance's programs a version was
within 20%.
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

from agent_drivers import Drivers  # noqa: E402 - found by what stands above
from calls_packages import default_place, prepare  # noqa: E402 - as above
from daemons import Daemon  # noqa: E402 - as above
from interpreters import find_interpreters  # noqa: E402 - as above

if TYPE_CHECKING:
    from execctl.client import Client

ROUNDS: Final = 5
SECONDS: Final = 1.0
# A program tells each tenth of a second of its CPU time; what it told of a time in which we came or went is not taken.
LEAST_TOLD: Final = 3
LOOKED_S: Final = 0.05
# The telling is of a second, with what some beats have found.
SETTLED_S: Final = 5.1
SMALL: Final = ("calls", "c_functions", "methods", "generators")
PYPERFORMANCE: Final = ("richards", "deltablue", "raytrace", "chaos", "go", "json_dumps", "logging", "async_tree")
PROGRAMS: Final = (*SMALL, *PYPERFORMANCE, "service")
NEAR: Final = 0.2
COLUMNS: Final = ("Python", "form", "program", "events/s", "expected", "told", "A/B", "told, of A/B")


class Round(NamedTuple):
    """What one recording came to: shares, and events a second."""

    events_per_s: float
    expected: float
    told: float
    measured: float


class Target:
    """A program that runs, and what it has told so far."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._told: list[float] = []
        assert self.process.stdout is not None
        self.process.stdout.readline()
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()

    def runs_s(self, seconds: float) -> list[float]:
        """Returns how long runs take, what it tells for so long from now on."""
        begun, end_s = len(self._told) + 1, time.monotonic() + seconds
        while time.monotonic() < end_s or len(self._told) < begun + LEAST_TOLD:
            time.sleep(LOOKED_S)
        return self._told[begun:]

    def end(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.wait()

    def _read(self, lines: IO[str]) -> None:
        self._told += map(float, lines)


def recorded(client: Client, target: Target, form: str, seconds: float) -> tuple[list[float], Round]:
    """Returns how long runs take while a program is recorded, and what is told, without what is measured."""
    with client.attach(target.process.pid, profile=True, form=form) as recording:
        expected = client.overhead(recording.sessions[0].id)
        time.sleep(SETTLED_S)
        runs = target.runs_s(seconds)
        told = client.overhead(recording.sessions[0].id)
    # What is expected is not told where the machine has too much else to do.
    shares = [math.nan if one is None or one.share is None else one.share for one in (expected, told)]
    return runs, Round(told.events_per_s if told else math.nan, *shares, math.nan)


def measure(client: Client, target: Target, form: str, rounds: int, seconds: float) -> list[Round]:
    """Returns what recording a program costs, told and measured, with a time alone before and after each recording."""
    found, before = [], target.runs_s(seconds)
    for _ in range(rounds):
        runs, told = recorded(client, target, form, seconds)
        after = target.runs_s(seconds)
        found.append(told._replace(measured=median(runs) / median(before + after) - 1))
        before = after
    return found


def middle(values: list[float]) -> float:
    """Returns the median of what is known."""
    known = [value for value in values if not math.isnan(value)]
    return median(known) if known else math.nan


def line(version: str, form: str, program: str, rounds: list[Round]) -> str:
    """Returns a line of the table."""
    events, expected, told, measured = (middle(list(values)) for values in zip(*rounds, strict=True))
    shares = f"{expected:.0%} | {told:.0%} | {measured:.0%}".replace("nan%", "not told")
    return f"| {version} | {form} | {program} | {events:,.0f} | {shares} | {ratio(rounds):.2f} |"


def ratio(rounds: list[Round]) -> float:
    """Returns what was told, of what an A/B shows: of the medians, for one of small shares may be any figure."""
    _, _, told, measured = (middle(list(values)) for values in zip(*rounds, strict=True))
    return told / measured if measured else math.nan


def read_arguments() -> argparse.Namespace:
    """Returns what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--versions", default="", help="of Python; all that there are without it")
    parser.add_argument("--forms", default="native,python")
    parser.add_argument("--programs", default=",".join(PROGRAMS))
    parser.add_argument("--packages", type=Path, default=default_place(), help="where pyperformance lies, absolute")
    return parser.parse_args()


def main() -> None:
    """Measure, and print."""
    asked = read_arguments()
    found, drivers, programs = find_interpreters(os.environ), Drivers(), asked.programs.split(",")
    print(f"{platform.platform()}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    near = []
    with Daemon() as daemon, daemon.client() as client:
        for version in [one for one in asked.versions.split(",") if one] or list(found):
            folder = prepare(found[version], asked.packages) if set(programs) & set(PYPERFORMANCE) else ""
            for form in asked.forms.split(","):
                ratios = []
                for program in programs:
                    target = Target(drivers.command(found[version], "pacing", (program, folder)))
                    try:
                        rounds = measure(client, target, form, asked.rounds, asked.seconds)
                    finally:
                        target.end()
                    print(line(version, form, program, rounds), flush=True)
                    ratios += [ratio(rounds)] if program in PYPERFORMANCE else []
                within = sum(abs(one - 1) <= NEAR for one in ratios)
                near.append(f"{version} {form}: {within} of {len(ratios)}")
    drivers.remove()
    print(f"\nWithin {NEAR:.0%}: {', '.join(near)}. Load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
