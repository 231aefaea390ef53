"""How far recorded times are from those that functions take: as recorded, corrected, and cProfile's.

    python benchmarks/bench_times.py [--seconds 6] [--clock wall|cpu] [--form python|native] [VERSION ...]

The program is tests/targets/durations.py, whose functions do known multiples of one piece of work; what that takes is
told by its function `reference`, in the same recording, so that the speed of the machine is not in the figures. On a
machine that does other things as well only CPU time says something, which costs more to read than the wall's. Prints a
table for benchmarks/RESULTS.md: by how many percent own and total time of a function are too long.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from execctl import Client  # noqa: E402 - found beside the one below
from interpreters import find_interpreters  # noqa: E402 - of the tests
from targets.durations import KNOWN, REFERENCE  # noqa: E402 - of the tests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpreters import Interpreter

SOURCE = (ROOT / "tests/targets/durations.py").read_text()
# The interpreter may lie in another root, so that it gets all of it as an argument.
ALONE = (
    "import sys, types\n__file__ = '/durations.py'\nsys.modules['line_protocol'] = types.ModuleType('line_protocol')\n"
)
PROFILED = """
import cProfile, json, time
profile = cProfile.Profile(time.thread_time) if sys.argv[2] == "cpu" else cProfile.Profile()
worker = Worker()
profile.enable()
for _ in range(int(sys.argv[1])):
    a_round(worker)
profile.disable()
profile.create_stats()
print(json.dumps([[name, *row[:4]] for (_, _, name), row in profile.stats.items()]))
"""
FOR_EVER = "1000000000"
# Calls, those that are not recursive, own time, total time.
Rows = dict[str, tuple[int, int, float, float]]


def percentages(rows: Rows) -> list[str]:
    """Return a cell for each function: by how much own and total time are too long."""
    calls, _, own, _ = rows["reference"]
    work = own / calls / REFERENCE
    cells = []
    for name, (times, times_in_all) in KNOWN.items():
        calls, primitive, own, total = rows[name]
        parts = (own / calls / times, total / primitive / times_in_all)
        cells.append(" / ".join(f"{100 * (part / work - 1):+.0f}" for part in parts))
    return cells


def by_cprofile(python: Interpreter, rounds: int, clock: str) -> Rows:
    """Return what cProfile tells of so many rounds, by the same clock."""
    source = ALONE + SOURCE.replace('if __name__ == "__main__":', "if False:") + PROFILED
    command = [*python.argv, "-c", source, str(rounds), clock]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {name: (calls, primitive, own, total) for name, primitive, calls, own, total in json.loads(done.stdout)}


@contextlib.contextmanager
def target(python: Interpreter) -> Iterator[int]:
    """Run the program, and yield its PID."""
    source = "print('ready', flush=True)\n" + ALONE + SOURCE
    process = subprocess.Popen([*python.argv, "-c", source, FOR_EVER], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
    finally:
        process.kill()
        process.wait()


def rows_of(document: dict[str, Any]) -> Rows:
    """Return the rows of a JSON report."""
    fields = ("calls", "primitive_calls", "self_ns", "total_ns")
    return {one["name"]: tuple(one[field] for field in fields) for one in document["functions"]}  # type: ignore[misc]


def by_execd(client: Client, python: Interpreter, seconds: float, clock: Any, form: Any) -> dict[str, Rows]:
    """Return what execd tells, as it was recorded and corrected."""
    with target(python) as pid, client.attach(pid, profile=True, clock=clock, form=form) as recording:
        recording.wait(seconds)
        (session,) = recording.stop()
        assert session.form == form
        profile = recording.profile()
        documents = {
            bias: json.loads(profile.render("json", {"bias": bias if bias == "auto" else 0})) for bias in ("0", "auto")
        }
    return {bias: rows_of(document) for bias, document in documents.items()}


def main() -> None:
    """Measure on the interpreters that are asked for, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="cpu")
    parser.add_argument("--form", choices=("python", "native"), default="python")
    parser.add_argument("versions", nargs="*")
    asked = parser.parse_args()
    lines = [f"| Python | times | {' | '.join(KNOWN)} |", f"|---|---|{'---|' * len(KNOWN)}"]
    with tempfile.TemporaryDirectory() as directory, Client(f"{directory}/s", data_dir=f"{directory}/data") as client:
        try:
            for version, python in find_interpreters(os.environ).items():
                if asked.versions and version not in asked.versions:
                    continue
                told = by_execd(client, python, asked.seconds, asked.clock, asked.form)
                told = {"recorded": told["0"], "corrected": told["auto"]}
                told["cProfile's"] = by_cprofile(python, max(int(asked.seconds * 15), 1), asked.clock)
                lines += [f"| {version} | {name} | {' | '.join(percentages(rows))} |" for name, rows in told.items()]
        finally:
            places = ["--socket", f"{directory}/s", "--data-dir", f"{directory}/data"]
            subprocess.run([sys.executable, "-P", "-m", "execd", "stop", *places], check=True, stdout=sys.stderr)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
