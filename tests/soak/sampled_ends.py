"""Targets that end, execute, fork, are stopped or frozen while a daemon samples them: sessions end or go on, as told.

Each event has a target of its own. The daemon goes on, and must not grow.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import grpc
import pytest
from cgroups import frozen
from daemons import Daemon
from execd.model import codec
from execd_api.v1 import sessions_pb2
from footprint import becomes, descriptors, state_letters
from soak import sampled
from soak.kills import GONE, Toll, check_size
from soak.sampled import EXIT_CODE, GIVE_UP_S, Sampled, await_within, check_goes_on

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from execd_api.v1.sessions_pb2 import Session
    from soak.bench import Bench

STOPPED = sessions_pb2.SESSION_STATE_STOPPED
LONGEST_S = 0.6
# What a session may take to end with its process.
END_S = 2.0
STANDS_S = 0.3
STORM, STORM_MS = 8, 1500
ENDS = {
    "killed": (lambda program: os.kill(program.pid, signal.SIGKILL), -signal.SIGKILL),
    "abrupt": (lambda program: program.tell(f"abrupt {EXIT_CODE}"), EXIT_CODE),
    "exit": (lambda program: program.tell(f"exit {EXIT_CODE}"), EXIT_CODE),
}


def end_sampled(bench: Bench, random: Random, count: int) -> Toll:
    """So many events."""
    toll = Toll()
    with Daemon() as daemon:
        # A daemon that has sampled has come to its working size.
        one_event(bench, random, daemon, "killed", Toll())
        for _ in range(count):
            kind = random.choice(list(EVENTS))
            one_event(bench, random, daemon, kind, toll)
            toll.look_at(daemon)
        becomes(lambda: at_rest(daemon, toll), GIVE_UP_S)
        toll.look_at(daemon)
        toll.failures += daemon.complaints()
    check_size(toll)
    return toll


def at_rest(daemon: Daemon, toll: Toll) -> bool:
    """Whether the daemon has no more descriptors than it began with; samplers take a moment to end."""
    return len(descriptors(daemon.process.pid)) <= len(toll.descriptors[0])


def one_event(bench: Bench, random: Random, daemon: Daemon, kind: str, toll: Toll) -> None:
    """Samples a target for a moment, and then that happens."""
    version, working = random.choice(sampled.versions(bench)), random.choice(sampled.WORKING)
    with bench.program(version, "supervising", str(working)) as program:
        target = Sampled(program, working)
        spec = sampled.samples(random, children=kind == "storm")
        session = daemon.attach(program.pid, spec).sessions[0].id
        time.sleep(random.uniform(0, LONGEST_S))
        toll.count(kind)
        try:
            EVENTS[kind](daemon, target, session, toll)
        except (AssertionError, grpc.RpcError, TimeoutError) as error:
            toll.failures.append(f"{kind}, {target.name}: {error!r}; held: {target.held()}")


def end(kind: str) -> Callable[[Daemon, Sampled, str, Toll], None]:
    """What ends a target in one of the ways."""

    def happens(daemon: Daemon, target: Sampled, session: str, toll: Toll) -> None:
        act, code = ENDS[kind]
        act(target.program)
        if (found := target.program.wait()) != code:
            toll.failures.append(f"{kind}: {target.name} ended with {found}, not with {code}")
        check_end(daemon, session, f"process {target.program.pid} has ended", toll)
        if target.program.stderr():
            toll.failures.append(f"{kind}: {target.name} wrote to stderr: {target.program.stderr()!r}")

    return happens


def execute(daemon: Daemon, target: Sampled, session: str, toll: Toll) -> None:
    """The target executes itself anew."""
    target.program.tell("execute")
    target.program.wait_until_ready()
    check_end(daemon, session, f"process {target.program.pid} executes another program now", toll)
    check_goes_on(target, time.monotonic(), toll)
    sampled.check_exit(target, toll)


def check_end(daemon: Daemon, session: str, reason: str, toll: Toll) -> None:
    """Notes a session that does not end as its target's end makes it end."""

    def is_over() -> bool:
        return bool(daemon.session(session).ended_at)

    await_within(is_over, time.monotonic(), END_S, "a session ends", toll, lambda: daemon.session(session))
    ended = daemon.session(session)
    if (ended.state, ended.reason) != (GONE, reason):
        toll.failures.append(f"{session} ended in state {ended.state} as {ended.reason!r}, not as {reason!r}")
    elif not sum(codec.decode(daemon.final_profile(session)).column("samples")):
        toll.count("profiles without samples")


def storm(daemon: Daemon, target: Sampled, session: str, toll: Toll) -> None:
    """The target forks children, which are sampled too where they live long enough, and waits for them."""
    if wrong := target.program.ask_json(f"storm {STORM} {STORM_MS}"):
        toll.failures.append(f"{target.name} was told of {wrong} of {STORM} children that they ended otherwise")
    group = daemon.session(session).group

    def children() -> list[Session]:
        return [one for one in daemon.latest_sessions(STORM + 1) if one.group == group and one.id != session]

    def running() -> list[str]:
        return [f"{one.id} of {one.pid}" for one in children() if not one.ended_at]

    await_within(lambda: not running(), time.monotonic(), END_S, "sessions of children end", toll, running)
    toll.outcomes["children sampled"] = toll.outcomes.get("children sampled", 0) + len(children())
    check_stop(daemon, target, session, toll)


def stop(daemon: Daemon, target: Sampled, session: str, toll: Toll) -> None:
    """The target is stopped by a signal, and let go."""
    os.kill(target.program.pid, signal.SIGSTOP)
    since = time.monotonic()

    def stands() -> bool:
        return state_letters(target.program.pid) == {"T"}

    await_within(stands, since, sampled.GOES_ON_S, "stops by a signal", toll, target.held)
    time.sleep(STANDS_S)
    # A thread that is being asked whether it can be held is another one's for an instant.
    await_within(stands, time.monotonic(), sampled.GOES_ON_S, "stays stopped", toll, target.held)
    os.kill(target.program.pid, signal.SIGCONT)
    check_stop(daemon, target, session, toll)


def freeze(daemon: Daemon, target: Sampled, session: str, toll: Toll) -> None:
    """The target's cgroup is frozen, and thawed."""
    try:
        with frozen(target.program.pid):
            time.sleep(STANDS_S)
    except pytest.skip.Exception:
        toll.count("no freezer here")
    check_stop(daemon, target, session, toll)


def check_stop(daemon: Daemon, target: Sampled, session: str, toll: Toll) -> None:
    """Notes a session that has not gone on, or a target that does not once it is ended."""
    if daemon.session(session).ended_at:
        toll.failures.append(f"{session} has ended: {daemon.session(session).reason}")
        return
    daemon.detach(target.program.pid)
    check_goes_on(target, time.monotonic(), toll)
    if daemon.session(session).state != STOPPED:
        toll.failures.append(f"{session} is in state {daemon.session(session).state}, not stopped")
    sampled.check_exit(target, toll)


EVENTS = {**{kind: end(kind) for kind in ENDS}, "execute": execute, "storm": storm, "stop": stop, "freeze": freeze}
