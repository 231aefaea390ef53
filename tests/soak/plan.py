"""The plan of a soak: which steps there are, each small enough to be done again when it was cut off."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from soak import cycles, forks, kills, modes, reused, sampled_ends, sampled_kills, suites, walks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from random import Random

    from soak.bench import Bench

    Outcome = tuple[list[str], dict[str, Any]]

# How often each thing is done at scale 1.
CYCLES = 10_000
KILLS = 1_000
FORKS = 20_000
# Cycles on one server, after which its memory must be at rest.
LONG_CYCLES = 4_000
# Cycles of each mode on a server of each version.
MODE_CYCLES = 500
# How many kills, or ends of other kinds, are a step, and how long one may take on a busy machine, seconds.
KILLS_A_STEP = {
    "daemon-kills": (25, 20.0),
    "helper-kills": (50, 10.0),
    "target-kills": (50, 10.0),
    "sampler-kills": (25, 30.0),
    "sampled-ends": (250, 20.0),
    "sampled-pids": (25, 30.0),
}
KILLERS = {
    "daemon-kills": kills.kill_daemons,
    "helper-kills": kills.kill_helpers,
    "target-kills": kills.kill_targets,
    "sampler-kills": sampled_kills.kill_samplers,
    "sampled-ends": sampled_ends.end_sampled,
    "sampled-pids": reused.reuse_pids,
}
CYCLE_S = 3.0
MODE_CYCLE_S = 10.0
FORK_S = 0.5
# How long a walk is on each server of each version, seconds.
WALK_S = 600
START_S = 120.0


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    Attributes:
        key: names it; the random numbers that it draws follow from the seed and from this.
        amount: how often it does what it is about.
        limit_s: after which it counts as hanging.
        run: does it; what failed, and what was measured.
    """

    key: str
    amount: int
    limit_s: float
    run: Callable[[Bench, Random], Outcome]


def plan(scale: float, versions: Iterable[str]) -> list[Step]:
    """All steps, so mixed that at any moment about the same share of each kind is done.

    Args:
        scale: 1 for what the judging asks, 0.01 for a hundredth of it.
        versions: the interpreters.
    """
    versions = list(versions)
    kinds = [
        list(cycle_steps(math.ceil(CYCLES * scale / len(versions) / len(cycles.SERVERS)), versions)),
        list(long_steps(math.ceil(LONG_CYCLES * scale), versions)),
        list(mode_steps(math.ceil(MODE_CYCLES * scale), versions)),
        share(list(suite_steps(versions)), scale),
        list(walk_steps(math.ceil(WALK_S * scale), versions)),
        list(fork_steps(math.ceil(FORKS * scale / len(versions) / len(forks.MODES)), versions)),
        *(list(kill_steps(kind, math.ceil(KILLS * scale))) for kind in KILLERS),
    ]
    placed = [(index / len(steps), step) for steps in kinds for index, step in enumerate(steps)]
    return [step for _, step in sorted(placed, key=lambda pair: pair[0])]


def cycle_steps(count: int, versions: list[str]) -> Iterator[Step]:
    """Cycles on each server of each version."""
    for name, version in product(cycles.SERVERS, versions):

        def run(bench: Bench, random: Random, version: str = version, name: str = name) -> Outcome:
            return cycles.run_cycles(bench, random, count, version, name)

        yield Step(f"cycles/{version}/{name}/{count}", count, START_S + count * CYCLE_S, run)


def long_steps(count: int, versions: list[str]) -> Iterator[Step]:
    """So many cycles that the server's memory has come to rest, on that server which takes longest to."""
    for version in versions:

        def run(bench: Bench, random: Random, version: str = version) -> Outcome:
            recording = cycles.Recording(trims=True)
            return cycles.run_cycles(bench, random, count, version, cycles.SERVERS[0], cycles.SHORT_PAUSE_S, recording)

        yield Step(f"long/{version}/{cycles.SERVERS[0]}/{count}", count, START_S + count * CYCLE_S, run)


def mode_steps(count: int, versions: list[str]) -> Iterator[Step]:
    """Cycles of each mode, and of all at once."""
    for mode, version in product(modes.MODES, versions):

        def run(bench: Bench, random: Random, version: str = version, mode: str = mode) -> Outcome:
            recording = modes.recording(mode)
            return cycles.run_cycles(bench, random, count, version, cycles.SERVERS[0], cycles.SHORT_PAUSE_S, recording)

        yield Step(f"modes/{version}/{mode}/{count}", count, START_S + count * MODE_CYCLE_S, run)


def suite_steps(versions: list[str]) -> Iterator[Step]:
    """CPython's own tests on each version, with us and without."""
    for suite, version in product(suites.SUITES, versions):

        def run(bench: Bench, random: Random, version: str = version, suite: str = suite) -> Outcome:
            return suites.run_suite(bench, random, version, suite)

        limit_s = START_S + 2 * suites.ROUNDS * suites.SUITE_TIMEOUT_S
        yield Step(f"suites/{version}/{suite}/1", 1, limit_s, run)


def walk_steps(seconds: int, versions: list[str]) -> Iterator[Step]:
    """Native recordings of calls on the servers of other people, begun, looked at, ended and left in any order."""
    for name, version in product(walks.SERVERS, versions):

        def run(bench: Bench, random: Random, version: str = version, name: str = name) -> Outcome:
            return walks.walk(bench, random, version, name, float(seconds))

        yield Step(f"walks/{version}/{name}/{seconds}", seconds, START_S + 2 * seconds, run)


def share(steps: list[Step], scale: float) -> list[Step]:
    """The first of steps that are done once each, as many as a scale leaves."""
    return steps[: math.ceil(len(steps) * min(scale, 1.0))]


def fork_steps(count: int, versions: list[str]) -> Iterator[Step]:
    """Forks with warnings shown and with warnings raised on each version."""
    for mode, version in product(forks.MODES, versions):

        def run(bench: Bench, random: Random, version: str = version, mode: str = mode) -> Outcome:
            toll = forks.fork_while_armed(bench, random, count, version, mode)
            return toll.failures, toll.figures()

        yield Step(f"forks/{version}/{mode}/{count}", count, START_S + count * FORK_S, run)


def kill_steps(kind: str, count: int) -> Iterator[Step]:
    """Kills of one kind; what is killed is drawn."""
    size, kill_s = KILLS_A_STEP[kind]
    for number, first in enumerate(range(0, count, size)):
        amount = min(size, count - first)

        def run(bench: Bench, random: Random, amount: int = amount) -> Outcome:
            toll = KILLERS[kind](bench, random, amount)
            return toll.failures, toll.figures()

        yield Step(f"{kind}/{number}/{amount}", amount, START_S + amount * kill_s, run)
