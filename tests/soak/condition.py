"""The condition of targets: that they live, go on and hold nothing of ours, and how soon after a death that is so."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from activities import ACTIVITIES, Activity
from footprint import Footprint, footprint, state_letters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from programs import Program
    from soak.bench import Bench

# What can measure in a target, or change how it runs.
HELD_STATE = ("threads", "tools", "profile", "trace", "switch_interval_s", "filters", "main_names", "builtin_names")
HELD = {"T", "t", "X", "Z"}
DISARM_S = 1.0
# It is what is looked at most often: between two looks the targets shall work.
POLL_S = 0.005
GIVE_UP_S = 10.0


@dataclass(frozen=True, slots=True)
class Patient:
    """A target, and how it was before anything was done to it."""

    program: Program
    activity: Activity
    before: Footprint
    state: dict[str, Any]

    @property
    def name(self) -> str:
        """What failures call it."""
        return f"{self.activity.program} on {self.program.interpreter.full_version} (PID {self.program.pid})"

    def illness(self) -> str:
        """What it looks like from the outside where it has not its own threads alone or one is held, else ""."""
        if not self.program.alive():
            return f"{self.name} is dead"
        now, states = footprint(self.program.pid), state_letters(self.program.pid)
        if (now.threads, now.tracer_pid) == (self.before.threads, 0) and not HELD & states:
            return ""
        threads = f"threads {now.threads}, before {self.before.threads}"
        return f"{self.name}: {threads}, traced by {now.tracer_pid}, states {sorted(states)}"

    def residue(self) -> tuple[int, int]:
        """How many descriptors and pages of ours it holds."""
        now = footprint(self.program.pid)
        extra_pages = set(now.pages) - set(self.before.pages)
        return len(set(now.descriptors) - set(self.before.descriptors)), len(extra_pages)

    def faults(self) -> Iterator[str]:
        """What is wrong with it now, besides what `looks_well` sees."""
        if not self.program.alive():
            yield f"{self.name} is dead, exit code {self.program.wait()}; stderr: {self.program.stderr()!r}"
            return
        try:
            self.activity.progress(self.program)
            state = self.activity.state(self.program)
        except AssertionError as error:
            yield f"{self.name} does not go on: {error!r}; its threads: {state_letters(self.program.pid)}"
            return
        for name in HELD_STATE:
            if state[name] != self.state[name]:
                yield f"{self.name} has {name} {state[name]!r}, before {self.state[name]!r}"
        if self.program.stderr():
            yield f"{self.name} wrote to stderr: {self.program.stderr()!r}"


@contextmanager
def patient(bench: Bench, version: str, activity: Activity) -> Iterator[Patient]:
    """A target that does something and is looked at."""
    with bench.program(version, activity.program, *activity.arguments) as program:
        activity.progress(program)
        state = activity.state(program)
        yield Patient(program, activity, footprint(program.pid), state)


@contextmanager
def patients(bench: Bench, random: Random, count: int) -> Iterator[list[Patient]]:
    """Targets of random versions and activities, no activity twice."""
    with ExitStack() as running:
        activities = random.sample(ACTIVITIES, count)
        yield [running.enter_context(patient(bench, bench.any_version(random), activity)) for activity in activities]


def check_recovery(patient: Patient, since: float, failures: list[str], limit_s: float = DISARM_S) -> float:
    """Waits until a target looks well, and notes one that does not in time.

    Args:
        patient: the target.
        since: the instant from which time counts.
        failures: to which a sentence is added.
        limit_s: how long it may take.

    Returns:
        How long it took, GIVE_UP_S where it did not come about.
    """
    while (illness := patient.illness()) and time.monotonic() - since < GIVE_UP_S:
        time.sleep(POLL_S)
    took_s = time.monotonic() - since
    if illness or took_s > limit_s:
        failures.append(f"{illness or patient.name}: disarmed after {took_s:.2f} s, more than {limit_s} s")
    return took_s
