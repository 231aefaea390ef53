"""How far times are off that are recorded of brief functions, and of long ones: native and Python form, and cProfile.

    python benchmarks/bench_brief.py [--recordings 15] [--rounds 4] [--form native|python] [VERSION ...]

The program is tests/targets/brief.py: functions of 0.5 to 5 us, whose durations are told by the same work without calls
in the same rounds, and where they call others by what they take while nothing is recorded, and functions of 10 ms and
longer, which time themselves. Prints a table for
benchmarks/RESULTS.md: by how many percent own and total time of a brief function are too long, and the total time of
a long one longer than what it measured, as it was recorded.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from execctl import Client  # noqa: E402 - found beside the one below
from interpreters import find_interpreters  # noqa: E402 - of the tests
from programs import Program, ProgramFolders  # noqa: E402 - of the tests
from targets.brief import OTHERS, TIMES  # noqa: E402 - of the tests

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from interpreters import Interpreter

RECORDINGS: Final = 15
ROUNDS: Final = 4
BRIEF: Final = {
    "half": "0.5 us",
    "one": "1 us",
    "two": "2 us",
    "five": "5 us",
    "nested": "2 us, half of it in two calls",
    "with_c": "2 us, with four C calls",
}
LONG: Final = {"ten_ms": "10 ms", "forty_ms": "40 ms, with calls"}
ROUND_S: Final = 10.0
PROFILED: Final = """
import cProfile, json, sys
sys.argv[0] = sys.argv[1]
sys.path.insert(0, sys.argv[1].rpartition("/")[0])
import brief
brief.rounds(1)
alone = brief.alone(int(sys.argv[3]))
found = []
for _ in range(int(sys.argv[2])):
    profile = cProfile.Profile()
    profile.enable()
    measured = dict(brief.rounds(int(sys.argv[3])))
    profile.disable()
    profile.create_stats()
    rows = {name: [calls, own, total] for (_, _, name), (_, calls, own, total, _) in profile.stats.items()}
    found.append([rows, measured])
print(json.dumps([found, alone]))
"""
# Calls, own and total time; of a long function how long it took by itself, and how often.
Rows = dict[str, tuple[float, float, float]]
Measured = dict[str, tuple[int, int]]
# Own and total time of a function, by what they should be.
Shares = dict[str, tuple[float, float]]


def known_of(name: str, work: dict[str, float], alone: dict[str, float]) -> tuple[float, float]:
    """Return how long a call of a brief function is, its own time and with what it calls, in the unit of the work."""
    if name not in OTHERS:
        return work[name], work[name]
    reference, times, called = OTHERS[name]
    in_all = alone[name] * work[reference]
    # What is a C function's own, and what calling it takes, nobody knows.
    return (in_all - work[called[0]] * called[1] if called else work[reference] * times), in_all


def shares(rows: Rows, measured: Measured, alone: dict[str, float], unit_ns: float) -> Shares:
    """Return how long each function was, by how long it was known to be."""
    found = {}
    work = {
        name: rows[f"reference_{name}"][1] / rows[f"reference_{name}"][0] / TIMES
        for name in BRIEF
        if name not in OTHERS
    }
    for name in BRIEF:
        calls, own, total = rows[f"brief_{name}"]
        known_own, known = known_of(name, work, alone)
        found[name] = own / calls / known_own, total / calls / known
    for name in LONG:
        known_ns, times = measured[name]
        assert rows[name][0] == times, (rows[name], times)
        found[name] = (share := rows[name][2] * unit_ns / known_ns), share
    return found


def cells(found: list[Shares], shown: Iterable[str]) -> list[str]:
    """Return by how many percent each function is off, of all recordings that in the middle."""
    parts = {name: [median(one[name][which] for one in found) for which in (0, 1)] for name in shown}
    return [
        " / ".join(f"{100 * (part - 1):+.0f}" for part in both) if name in BRIEF else f"{100 * (both[1] - 1):+.2f}"
        for name, both in parts.items()
    ]


def by_cprofile(python: Interpreter, path: str, recordings: int, rounds: int) -> list[Shares]:
    """Return what cProfile tells."""
    command = [*python.argv, "-c", PROFILED, path, str(recordings), str(rounds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found, alone = json.loads(done.stdout)
    return [shares(rows, measured, alone, 1e9) for rows, measured in found]


def rows_of(document: dict[str, Any]) -> Rows:
    """Return the rows of a JSON report."""
    fields = ("calls", "self_ns", "total_ns")
    return {one["name"]: tuple(one[field] for field in fields) for one in document["functions"]}


def by_execd(client: Client, program: Program, rounds: int, form: str) -> tuple[Shares, Shares]:
    """Return what execd tells, as it was recorded, and corrected."""
    alone = program.ask_json(f"alone {rounds}", rounds * ROUND_S)
    with client.attach(program.pid, profile=True, form=form) as recording:
        measured = program.ask_json(f"rounds {rounds}", rounds * ROUND_S)
        (session,) = recording.stop()
        assert session.form == form
        profile = recording.profile()
        recorded, corrected = (json.loads(profile.render("json", {"bias": bias})) for bias in (0, "auto"))
    return shares(rows_of(recorded), measured, alone, 1), shares(rows_of(corrected), measured, alone, 1)


def lines(client: Client, folders: ProgramFolders, python: Interpreter, asked: argparse.Namespace) -> Iterator[str]:
    """Return the lines of the table for one version."""
    command = folders.command(python, "brief", ())
    with tempfile.NamedTemporaryFile() as stderr, Program(python, command, Path(stderr.name), dict(os.environ)) as one:
        one.wait_until_ready()
        told = [by_execd(client, one, asked.rounds, asked.form) for _ in range(asked.recordings)]
    profiled = by_cprofile(python, command[-1], asked.recordings, asked.rounds)
    nothing = [""] * len(LONG)
    found = {
        f"{asked.form}, recorded": cells([recorded for recorded, _ in told], [*BRIEF, *LONG]),
        # It is what they would have taken without us, and not what they measured.
        f"{asked.form}, corrected": [*cells([corrected for _, corrected in told], BRIEF), *nothing],
        "cProfile": cells(profiled, [*BRIEF, *LONG]),
    }
    yield from (f"| {python.version} | {name} | {' | '.join(row)} |" for name, row in found.items())


def main() -> None:
    """Measure on the interpreters that are asked for, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--recordings", type=int, default=RECORDINGS)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of the program, in each recording")
    parser.add_argument("--form", choices=("native", "python"), default="native")
    parser.add_argument("versions", nargs="*")
    asked = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
    columns = ("Python", "times", *BRIEF.values(), *LONG.values())
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    folders = ProgramFolders()
    with tempfile.TemporaryDirectory() as directory, Client(f"{directory}/s", data_dir=f"{directory}/data") as client:
        try:
            for version, python in find_interpreters(os.environ).items():
                if not asked.versions or version in asked.versions:
                    print("\n".join(lines(client, folders, python, asked)), flush=True)
        finally:
            folders.remove()
            places = ["--socket", f"{directory}/s", "--data-dir", f"{directory}/data"]
            subprocess.run([sys.executable, "-P", "-m", "execd", "stop", *places], check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()
