"""Forks while armed: each child works, ends well and holds nothing of ours, and the parent is measured on."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from daemons import Daemon
from footprint import becomes, descriptors, footprint, state_letters, thread_ids
from soak.kills import Toll, check_size

if TYPE_CHECKING:
    from random import Random

    from programs import Program
    from soak.bench import Bench

# So many children live at once, and so many forks share an attachment at most.
BROOD = 20
BROODS_ATTACHED = 5
DISARM_S = 1.0
MODES = {"plain": (), "error": ("error",)}


def fork_while_armed(bench: Bench, random: Random, count: int, version: str, mode: str) -> Toll:
    """Forks a target that is attached to again and again."""
    toll, forked = Toll(), 0
    with Daemon() as daemon, bench.program(version, "forking", *MODES[mode]) as program:
        program.ask("state")
        threads = footprint(program.pid).threads
        while forked < count:
            daemon.record_calls(program.pid)
            for _ in range(random.randint(1, BROODS_ATTACHED)):
                brood = min(BROOD, count - forked)
                forked += brood
                fork_brood(program, brood, toll)
            daemon.detach(program.pid)
            if not becomes(lambda: footprint(program.pid).threads == threads, DISARM_S):
                toll.failures.append(f"the parent has the threads {thread_ids(program.pid)}, before {list(threads)}")
            toll.look_at(daemon)
        if program.stderr():
            toll.failures.append(f"stderr: {program.stderr()!r}")
    check_size(toll)
    return toll


def fork_brood(program: Program, size: int, toll: Toll) -> None:
    """So many children that live at the same time, looked at from the outside, then let go."""
    began = time.monotonic()
    children = [program.ask_json("fork") for _ in range(size)]
    for child in children:
        if not becomes(lambda child=child: not of_ours(child), DISARM_S):
            toll.failures.append(f"a child holds {of_ours(child)}, its threads are {state_letters(child)}")
    toll.recovery_s.append(time.monotonic() - began)
    codes = program.ask_json("reap")
    toll.outcomes["well"] = toll.outcomes.get("well", 0) + codes.count(0)
    if any(codes):
        toll.failures.append(f"children ended with {[code for code in codes if code]}")


def of_ours(child: int) -> list[str]:
    """The descriptors of a child that only an agent can have brought: the program has pipes and files alone."""
    with suppress(FileNotFoundError):
        return [descriptor for descriptor in descriptors(child) if "socket:" in descriptor or "memfd:" in descriptor]
    return [f"no process {child}"]
