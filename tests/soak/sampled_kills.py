"""SIGKILLs of a daemon that samples: nothing stays held, children end as they did, and what was stored is there."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from daemons import Daemon
from execd.model import codec
from footprint import becomes, state_letters
from soak import sampled
from soak.kills import DAEMON_DEAD, GONE, HONEST, INTERRUPTED, Toll, attached, check_sessions, moment_s

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from random import Random

    from execd_api.v1.targets_pb2 import AttachResponse
    from soak.bench import Bench
    from soak.sampled import Sampled

# How late a kill comes at most: most of one half hit the start of samplers.
LATEST_S = (0.06, 0.5)
# Of so many kills one comes after a profile was stored at a request, one after one was by the clock, one while a target
# is stopped by a signal.
SNAPSHOT_EACH, CHECKPOINT_EACH, STOP_EACH = 3, 40, 8
END_S = 1.0
HALF = 0.5
OVER = (INTERRUPTED, GONE)


@dataclass(frozen=True, slots=True)
class Child:
    """A child of a target: its PID, and the exit code that its parent must be told."""

    parent: Sampled
    pid: int
    code: int

    def end(self) -> None:
        """Ends it."""
        if self.code < 0:
            os.kill(self.pid, -self.code)
        else:
            self.parent.program.ask(f"end {self.code}")

    def told(self) -> list[object]:
        """What its parent was told of it."""
        return [code for pid, code in self.parent.program.ask_json("told") if pid == self.pid]


def kill_samplers(bench: Bench, random: Random, kills: int) -> Toll:
    """Kills one daemon after the other, each started in the last one's place, while it samples all targets."""
    toll, sessions = Toll(), []
    with (
        Daemon() as daemon,
        sampled.sampled_targets(bench, random) as targets,
        ThreadPoolExecutor(len(targets) + 1) as pool,
    ):
        for _ in range(kills):
            child = born(targets, random)
            pids = [*(target.program.pid for target in targets), child.pid]
            calls = [pool.submit(daemon.attach, pid, sampled.samples(random)) for pid in pids]
            stored = stored_profiles(daemon, calls, pids, random, toll)
            with one_stopped(targets, child, random, toll) as free:
                killed_at = kill_beside_an_end(daemon, child, random)
                for target in free:
                    sampled.check_goes_on(target, killed_at, toll)
            check_child(child, killed_at, toll)
            begun = [attached(call, toll, DAEMON_DEAD | HONEST) for call in calls]
            daemon.kill()
            with resting(targets):
                daemon.start()
            sessions += [session for session in begun[:-1] if session]
            check_sessions(daemon, [session for session in begun[:-1] if session], toll)
            check_over(daemon, begun[-1], toll)
            check_profiles(daemon, stored, toll)
            for target in targets:
                toll.failures += [
                    f"{target.name} is held, and by no daemon that samples: {one}" for one in target.held()
                ]
            toll.look_at(daemon)
        check_sessions(daemon, sessions, toll)
        for target in targets:
            sampled.check_exit(target, toll)
    return toll


@contextmanager
def resting(targets: list[Sampled]) -> Iterator[None]:
    """Leaves the processors to a daemon that starts."""
    for target in targets:
        target.program.ask("rest")
    yield
    for target in targets:
        target.program.ask("work")


def born(targets: list[Sampled], random: Random) -> Child:
    """A child of one of the targets, and how it will end."""
    parent = random.choice(targets)
    code = random.choice((*sampled.CHILD_CODES, *(-one for one in sampled.CHILD_SIGNALS for _ in sampled.CHILD_CODES)))
    return Child(parent, parent.program.ask_json("start"), code)


def stored_profiles(
    daemon: Daemon, calls: list[Future[AttachResponse]], pids: list[int], random: Random, toll: Toll
) -> list[str]:
    """Waits for the moment of a kill; the sessions of which a profile is stored by then."""
    if not random.randrange(CHECKPOINT_EACH):
        return [session] if (session := checkpointed(daemon, calls[0], toll)) else []
    if random.randrange(SNAPSHOT_EACH):
        time.sleep(moment_s(random, LATEST_S))
        return []
    chosen = random.randrange(len(calls) - 1)
    try:
        session = calls[chosen].result().sessions[0].id
        time.sleep(moment_s(random, LATEST_S))
        daemon.snapshot(pids[chosen])
    except grpc.RpcError as error:
        note_error(error, "a snapshot", toll)
        return []
    toll.count("snapshots")
    return [session]


def checkpointed(daemon: Daemon, call: Future[AttachResponse], toll: Toll) -> str:
    """The session of an attach, once its daemon has stored a profile by itself; "" where that takes too long."""
    try:
        session = call.result().sessions[0].id
        daemon.checkpoint(session)
    except grpc.RpcError as error:
        note_error(error, "a checkpoint", toll)
    except AssertionError:
        toll.count("late: a checkpoint")
    else:
        toll.count("checkpoints")
        return session
    return ""


def note_error(error: grpc.RpcError, what: str, toll: Toll) -> None:
    """Counts what was not answered in time as late; anything else is a failure."""
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        toll.count(f"late: {what}")
    else:
        toll.failures.append(f"{what} ended as {error.code().name}: {error.details()}")


@contextmanager
def one_stopped(targets: list[Sampled], child: Child, random: Random, toll: Toll) -> Iterator[list[Sampled]]:
    """Now and then one target is stopped by SIGSTOP, and must stay so until it is let go; in the block, the others."""
    if random.randrange(STOP_EACH):
        yield targets
        return
    stopped = random.choice([target for target in targets if target is not child.parent])
    os.kill(stopped.program.pid, signal.SIGSTOP)
    yield [target for target in targets if target is not stopped]
    is_stopped = becomes(lambda: state_letters(stopped.program.pid) == {"T"}, sampled.GIVE_UP_S)
    if not is_stopped or any("traced by 0" not in one for one in stopped.held()):
        toll.failures.append(f"{stopped.name} was stopped by a signal, and is: {stopped.held()}")
    os.kill(stopped.program.pid, signal.SIGCONT)
    sampled.check_goes_on(stopped, time.monotonic(), toll)
    toll.count("stopped meanwhile")


def kill_beside_an_end(daemon: Daemon, child: Child, random: Random) -> float:
    """Kills a daemon, and ends a child just before or just after; when the daemon was killed."""
    is_before = random.random() < HALF
    if is_before:
        child.end()
    daemon.process.kill()
    killed_at = time.monotonic()
    if not is_before:
        child.end()
    return killed_at


def check_child(child: Child, since: float, toll: Toll) -> None:
    """Notes a child whose parent is told anything else than how it ended."""
    sampled.await_within(
        lambda: child.told() == [child.code], since, END_S, "a child's end is told", toll, lambda: (child, child.told())
    )


def check_over(daemon: Daemon, session: str, toll: Toll) -> None:
    """Notes a session of a child that has ended about when the daemon did, and is not told as over."""
    if session and (state := daemon.session(session).state) not in OVER:
        toll.failures.append(f"{session}, of a child that has ended, is in state {state}")


def check_profiles(daemon: Daemon, sessions: list[str], toll: Toll) -> None:
    """Notes profiles that were stored and are lost, or empty."""
    for session in sessions:
        if not daemon.session(session).latest_profile:
            toll.failures.append(f"the stored profile of {session} is lost")
        elif not sum(codec.decode(daemon.final_profile(session)).column("samples")):
            toll.count("profiles without samples")
