"""Targets that are sampled: how they are started, what is asked of a daemon, and what may never be seen of one.

A deadline that is missed is counted as late, for the machine may be busy with other things; what does not come about
at all is a failure.
"""

from __future__ import annotations

import json
import signal
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

from execd_api.v1.sessions_pb2 import SessionSpec
from footprint import becomes, status_fields, thread_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from programs import Program
    from soak.bench import Bench
    from soak.kills import Toll

VERSIONS = ("3.9", "3.12", "3.15")
RATE_HZ = 5000.0
# Of samplers that share a thread.
SLOW_HZ = 100.0
STOPPING = ("always", "as needed")
# How many threads of a target work: one, several that contend, none but a timer.
WORKING = (1, 3, 0)
GOES_ON_S = 1.0
GIVE_UP_S = 20.0
EXIT_CODE = 7
CHILD_CODES = tuple(range(1, 100))
CHILD_SIGNALS = (signal.SIGKILL, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Sampled:
    """A target that is sampled, and how many of its threads work."""

    program: Program
    working: int

    @property
    def name(self) -> str:
        """What failures call it."""
        return f"a target with {self.working} threads on {self.program.interpreter.full_version}"

    def count(self) -> int:
        """How far it has come."""
        count: int = self.program.ask_json("counters")["leaf"]
        return count

    def held(self) -> list[str]:
        """Its threads that are stopped or traced."""
        return held_threads(self.program.pid)


def versions(bench: Bench) -> list[str]:
    """The oldest, the newest and one of between, as far as they are there."""
    return [version for version in VERSIONS if version in bench.interpreters] or list(bench.interpreters)


@contextmanager
def sampled_targets(bench: Bench, random: Random) -> Iterator[list[Sampled]]:
    """A target of each kind, on versions in turn."""
    chosen = versions(bench)
    random.shuffle(chosen)
    with ExitStack() as running:
        targets = []
        for version, working in zip(cycle(chosen), WORKING, strict=False):
            program = running.enter_context(bench.program(version, "supervising", str(working)))
            targets.append(Sampled(program, working))
        yield targets


def samples(random: Random, *, children: bool = False) -> SessionSpec:
    """A session that stops what runs, always or where that is needed."""
    options = {"rate_hz": random.choice((RATE_HZ, SLOW_HZ)), "stopping": random.choice(STOPPING)}
    return SessionSpec(collector="samples", options_json=json.dumps(options), children=children)


def held_threads(pid: int) -> list[str]:
    """The threads of a process that are stopped or traced; none of one that is gone."""
    found = []
    for tid in threads_of(pid):
        try:
            fields = status_fields(f"/proc/{pid}/task/{tid}/status")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        if fields["State"][0] in "Tt" or fields["TracerPid"] != "0":
            found.append(f"thread {tid}, state {fields['State']}, traced by {fields['TracerPid']}")
    return found


def threads_of(pid: int) -> list[int]:
    """The threads of a process, none of one that is gone."""
    try:
        return thread_ids(pid)
    except (FileNotFoundError, ProcessLookupError):
        return []


def await_within(
    condition: Callable[[], bool], since: float, limit_s: float, what: str, toll: Toll, wrong: Callable[[], object]
) -> bool:
    """Waits for what must come about; counts it as late after its limit, and as a failure where it never does.

    Args:
        condition: true once it has.
        since: the instant from which time counts, time.monotonic().
        limit_s: how long it may take.
        what: it is; late ones are counted under this.
        toll: of the step.
        wrong: says what is there instead.
    """
    if not becomes(condition, GIVE_UP_S):
        toll.failures.append(f"{what}: not within {GIVE_UP_S:.0f} s: {wrong()}")
        return False
    took_s = time.monotonic() - since
    toll.recovery_s.append(took_s)
    if took_s > limit_s:
        toll.count(f"late: {what}")
    return True


def check_goes_on(target: Sampled, since: float, toll: Toll) -> None:
    """Notes a target that is held, or comes no further."""
    await_within(lambda: not target.held(), since, GOES_ON_S, "nothing is held", toll, target.held)
    try:
        before = target.count()
        await_within(lambda: target.count() > before, since, GOES_ON_S, "goes on", toll, lambda: target.name)
    except AssertionError as error:
        toll.failures.append(f"{target.name} does not answer: {error}; {target.held()}")


def check_exit(target: Sampled, toll: Toll) -> None:
    """Ends a target and notes one that ends otherwise, or has said something."""
    # Nobody waits for an answer: the program may have ended before it is given.
    target.program.tell(f"exit {EXIT_CODE}")
    if (code := target.program.wait()) != EXIT_CODE:
        toll.failures.append(f"{target.name} ended with {code}, not with {EXIT_CODE}")
    if target.program.stderr():
        toll.failures.append(f"{target.name} wrote to stderr: {target.program.stderr()!r}")
