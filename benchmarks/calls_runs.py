"""Runs of tests/drivers/costing.py: rounds that are measured, and a process that is attached to."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from calls_tables import Measured
from execctl import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_drivers import Drivers
    from calls_tables import Round
    from interpreters import Interpreter

Form = Literal["native", "python"]
# Each process has its own memory layout and hashes, by which times differ: a few rounds each.
PER_PROCESS: Final = 5
TIMEOUT_S: Final = 600
STORED_S: Final = 1.0
# The files of the programs.
KNOWN: Final = ("/costed.py", "/run_benchmark.py")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured.

    Attributes:
        interpreter: what the programs run under.
        packages: where pyperformance, peers and floor lie, as its processes know it.
        pyperformance: how many of pyperformance's programs.
        form: of our collector.
    """

    interpreter: Interpreter
    packages: str
    pyperformance: int
    form: Form

    @property
    def environment(self) -> dict[str, str]:
        """That of the driver."""
        return {**os.environ, "EXECD_TEST_FORM": self.form, "EXECD_BENCH_PACKAGES": self.packages}


def some_rounds(drivers: Drivers, subject: Subject, count: int, *, builtins: bool) -> list[Round]:
    """Return rounds that one process measured.

    Raises:
        CalledProcessError: it failed; what it said of that is on stderr.
    """
    command = drivers.command(subject.interpreter, "costing", ("rounds", count, int(builtins), subject.pyperformance))
    done = subprocess.run(command, env=subject.environment, stdout=subprocess.PIPE, timeout=TIMEOUT_S, check=True)
    found: list[Round] = json.loads(done.stdout)
    return found


def measure(drivers: Drivers, subject: Subject, rounds: int, kinds: tuple[bool, ...]) -> list[Measured]:
    """Measure so many rounds with and without C functions, in turn, and say on stderr how far it is.

    Args:
        drivers: where the driver lies.
        subject: what is measured.
        rounds: how many.
        kinds: whether C functions are recorded; one or both.
    """
    version = subject.interpreter.version
    found: dict[bool, list[Round]] = {builtins: [] for builtins in kinds}
    for begun in range(0, rounds, PER_PROCESS):
        count = min(PER_PROCESS, rounds - begun)
        for builtins in kinds:
            found[builtins] += some_rounds(drivers, subject, count, builtins=builtins)
        print(f"{version}: {begun + count} of {rounds} rounds", file=sys.stderr)
    return [Measured(version, subject.form, builtins, tuple(found[builtins])) for builtins in kinds]


@contextlib.contextmanager
def daemon() -> Iterator[Client]:
    """Yield a client of a daemon that ends with the block."""
    with tempfile.TemporaryDirectory() as directory, Client(f"{directory}/s", data_dir=f"{directory}/data") as client:
        try:
            yield client
        finally:
            places = ["--socket", f"{directory}/s", "--data-dir", f"{directory}/data"]
            subprocess.run([sys.executable, "-P", "-m", "execd", "stop", *places], check=True, stdout=sys.stderr)


def stored_form(client: Client, drivers: Drivers, subject: Subject) -> str:
    """Return the form of a profile that is stored of the same programs, in a process that is attached to."""
    command = drivers.command(subject.interpreter, "costing", ("work", subject.pyperformance))
    process = subprocess.Popen(command, env=subject.environment, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with client.attach(process.pid, profile=True, form=subject.form) as recording:
            recording.wait(STORED_S)
            recording.stop()
            profile = recording.profile()
        document: dict[str, Any] = json.loads(profile.render("json"))
        recorded = [one for one in document["functions"] if one["file"].endswith(KNOWN) and one["calls"]]
        assert recorded, "no call of the programs was recorded"
        return profile.origin.form
    finally:
        process.kill()
        process.wait()
