"""Suites: CPython's own tests end as they do without us while calls are recorded in the native form."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from daemons import Daemon
from soak.hooking_tests import hooking_tests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from interpreters import Interpreter
    from soak.bench import Bench

# Of the standard library's `test` package.
SUITES = (
    "test_generators",
    "test_coroutines",
    "test_exceptions",
    "test_contextlib",
    "test_json",
    "test_re",
    "test_threading",
    "test_asyncio",
)
# A test that waits for a fixed time ends otherwise now and then where the machine is busy, with us or without: what
# differs is done again, on both sides.
ROUNDS = 3
SUITE_TIMEOUT_S = 1200.0
RECORDED = ("--profile", "--form", "native", "--quiet")
Outcomes = dict[str, str]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a suite ended: its exit status, and of each test what became of it."""

    status: int
    outcomes: Outcomes

    def of(self, name: str) -> str:
        """What became of a test."""
        return self.outcomes.get(name, "not there")


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs a suite of one interpreter, with us and without.

    Attributes:
        interpreter: whose tests they are.
        folder: where it writes what became of them, below its root.
        python: a command that is the interpreter, a script where that lies in another root.
    """

    interpreter: Interpreter
    folder: Path
    python: str

    def alone(self, suite: str) -> Ended:
        """Without us."""
        return self._ended([self.python], suite)

    def recorded(self, daemon: Daemon, suite: str) -> Ended:
        """With us from the first line on."""
        return self._ended([*daemon.execctl_command(), "run", *RECORDED, "--python", self.python, "--"], suite)

    def _ended(self, command: list[str], suite: str) -> Ended:
        told = self.folder / "outcomes.xml"
        told.unlink(missing_ok=True)
        status = run([*command, "-m", "test", "--junit-xml", self.interpreter.inside(told), suite])
        return Ended(status, outcomes(told.read_bytes()) if told.exists() else {})


def run_suite(bench: Bench, _random: Random, version: str, suite: str) -> tuple[list[str], dict[str, Any]]:
    """Runs a suite with us and without until they have ended alike; what failed, and what was seen."""
    pairs: list[tuple[Ended, Ended]] = []
    with Daemon() as daemon, runner(bench, version) as running:
        while len(pairs) < ROUNDS:
            pairs.append((running.alone(suite), running.recorded(daemon, suite)))
            if not differing(pairs[-1:]):
                break
        complaints = [f"the daemon logged {line}" for line in daemon.complaints()]
        session = daemon.session(daemon.latest_session())
        hooking = hooking_tests(bench.interpreters[version], suite)
    if session.form != "native":
        complaints.append(f"the form was {session.form!r}: {session.caveats}")
    steady, seen = differing(pairs), {name for pair in pairs for name in differing([pair])}
    failures = [f"{name}: {pairs[-1][1].of(name)}, {pairs[-1][0].of(name)} without us" for name in steady]
    if not pairs[0][0].outcomes:
        failures.append(f"no test was run: status {pairs[0][0].status}")
    if len({ended.status for pair in pairs for ended in pair}) > 1 and not seen:
        failures.append(f"exit statuses: {[(plain.status, ours.status) for plain, ours in pairs]}")
    return [*failures, *complaints], {
        **figures(pairs, seen - set(steady)),
        "hooking": hooking,
        "caveats": list(session.caveats),
    }


def differing(pairs: list[tuple[Ended, Ended]]) -> list[str]:
    """The tests that ended in each round as they did in none without us."""
    names = sorted({name for pair in pairs for ended in pair for name in ended.outcomes})
    return [
        name
        for name in names
        if not {plain.of(name) for plain, _ in pairs} & {recorded.of(name) for _, recorded in pairs}
    ]


def figures(pairs: list[tuple[Ended, Ended]], unsteady: set[str]) -> dict[str, Any]:
    """What goes into the journal."""
    outcomes = pairs[-1][1].outcomes
    return {
        "outcomes": dict(Counter(outcomes.values())),
        "failed_alike": sorted(name for name, outcome in outcomes.items() if outcome not in ("passed", "skipped")),
        "rounds": len(pairs),
        "unsteady": sorted(unsteady),
    }


def outcomes(report: bytes) -> Outcomes:
    """What became of each test in a report of `test --junit-xml`; of one with subtests that failed, all of them."""
    found: dict[str, set[str]] = {}
    for case in ET.fromstring(report).iter("testcase"):  # noqa: S314 - the interpreter's own tests wrote it
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        found.setdefault(case.get("name", "").partition(" (")[0], set()).update(kinds or {"passed"})
    return {name: ", ".join(sorted(kinds)) for name, kinds in found.items()}


@contextmanager
def runner(bench: Bench, version: str) -> Iterator[Runner]:
    """A runner for a version; what it wrote is removed at the end."""
    interpreter = bench.interpreters[version]
    with tempfile.TemporaryDirectory(prefix="execd-suite-", dir=f"{interpreter.root}/tmp") as name:
        folder, python = Path(name), interpreter.executable
        if interpreter.root:
            script = folder / "python"
            script.write_text(f'#!/bin/sh\nexec {" ".join(interpreter.argv)} "$@"\n', "ascii")
            script.chmod(0o700)
            python = str(script)
        yield Runner(interpreter, folder, python)


def run(command: list[str]) -> int:
    """Runs a command to its end, with all that it starts; its exit status."""
    # A shell that starts the soak in its background has SIGINT ignored, and so would all that it starts: tests hang.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "EXECD_TEST_FORM")}
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(SUITE_TIMEOUT_S)
    finally:
        signal.signal(signal.SIGINT, before)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
