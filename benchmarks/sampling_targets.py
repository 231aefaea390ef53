"""The programs that samplers are measured on, tests/targets/sampled.py, and what they got done in a while."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from programs import Program, ProgramFolders

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from interpreters import Interpreter

Planted = dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Window:
    """What a program did in a while.

    Attributes:
        units: of work.
        cpu_ns: that it computed, all threads.
        wall_ns: how long it was.
        queued_ns: for how long its main thread was ready, and other programs had the processors.
    """

    units: int
    cpu_ns: int
    wall_ns: int
    queued_ns: int

    def __sub__(self, earlier: Window) -> Window:
        """Return what was done since."""
        return Window(
            self.units - earlier.units,
            self.cpu_ns - earlier.cpu_ns,
            self.wall_ns - earlier.wall_ns,
            self.queued_ns - earlier.queued_ns,
        )


@dataclass(frozen=True, slots=True)
class Ratio:
    """How much a program gets done with a sampler, of what it does without: a median of pairs.

    Attributes:
        median: 1.0 where it costs nothing.
        low, high: its 95% interval, by the order of the pairs.
    """

    median: float
    low: float
    high: float


@contextlib.contextmanager
def target(folders: ProgramFolders, python: Interpreter, name: str) -> Iterator[Program]:
    """Run a program of tests/targets/sampled.py."""
    command = folders.command(python, "sampled", (name,))
    with Program(python, command, Path(os.devnull), os.environ) as program:
        program.wait_until_ready()
        yield program


def planted_in(program: Program) -> Planted:
    """Return between which shares of the time each leaf has."""
    return {name: (low, high) for name, (low, high) in json.loads(program.ready_text).items()}


def window(program: Program, seconds: float) -> Window:
    """Return what a program does in so many seconds."""
    began = _counted(program)
    time.sleep(seconds)
    return _counted(program) - began


def per_cpu(with_it: Window, without: Window) -> float:
    """Return the ratio of the work that is done in a second of the program's CPU time."""
    return with_it.units / with_it.cpu_ns * without.cpu_ns / without.units


def per_wall(with_it: Window, without: Window) -> float:
    """Return the ratio of the work that is done in a second."""
    return with_it.units / with_it.wall_ns * without.wall_ns / without.units


def per_running(with_it: Window, without: Window) -> float:
    """Return the same without the time in which other programs had the processors: a stop is in it, our load is not."""
    ran_with, ran_without = with_it.wall_ns - with_it.queued_ns, without.wall_ns - without.queued_ns
    return with_it.units / ran_with * ran_without / without.units


def ratio(values: Sequence[float]) -> Ratio:
    """Return the median and its interval: the order statistics that enclose it in 95 of 100 cases."""
    ordered = sorted(values)
    rank = max(0, int((len(ordered) - 1.96 * len(ordered) ** 0.5) / 2))
    return Ratio(statistics.median(ordered), ordered[rank], ordered[-1 - rank])


def _counted(program: Program) -> Window:
    told = program.ask_json("counters")
    schedstat = Path(f"/proc/{program.pid}/task/{program.pid}/schedstat").read_text()
    return Window(told["units"], told["cpu_ns"], told["wall_ns"], int(schedstat.split()[1]))
