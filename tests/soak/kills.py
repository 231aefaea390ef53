"""SIGKILLs at random moments, of the daemon, of its helper, of the target: nobody else is hurt, and nothing is lost."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

import grpc
import psutil
from activities import ACTIVITIES
from daemons import CALLS, Daemon
from execd_api.v1 import sessions_pb2
from footprint import becomes, descriptors, resident_kib
from soak.condition import Patient, check_recovery, patient, patients
from soak.figures import later_half, slope

if TYPE_CHECKING:
    from random import Random

    from execd_api.v1.targets_pb2 import AttachResponse
    from soak.bench import Bench

TARGETS = 3
# How late a kill comes at most: in one half of them most hit an attach that is under way, in the other what is armed.
# A new daemon that attaches to three targets at once takes longer than one that is warm.
WARM_S = (0.06, 0.25)
NEW_S = (0.25, 1.0)
TARGET_GONE_S = 2.0
SETTLE_S = 5.0
# What a request may be told when the helper or the target dies in the middle of it.
HONEST = {
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ABORTED,
}
DAEMON_DEAD = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
ATTACH_TRIES = 3
INTERRUPTED = sessions_pb2.SESSION_STATE_INTERRUPTED
GONE = sessions_pb2.SESSION_STATE_TARGET_GONE


@dataclass
class Toll:
    """What the kills of a step came to."""

    failures: list[str] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)
    recovery_s: list[float] = field(default_factory=list)
    resident_kib: list[int] = field(default_factory=list)
    descriptors: list[list[str]] = field(default_factory=list)

    def count(self, outcome: str) -> None:
        """One more of an outcome."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def look_at(self, daemon: Daemon) -> None:
        """Notes how large the daemon is."""
        self.resident_kib.append(resident_kib(daemon.process.pid))
        self.descriptors.append(descriptors(daemon.process.pid))

    def figures(self) -> dict[str, Any]:
        """What goes into the journal."""
        return {
            "outcomes": self.outcomes,
            "disarmed_ms": {
                "p50": round(median(self.recovery_s) * 1000) if self.recovery_s else None,
                "max": round(max(self.recovery_s) * 1000) if self.recovery_s else None,
            },
            **(self.sizes() if self.descriptors else {}),
        }

    def sizes(self) -> dict[str, Any]:
        """How large the daemon was at first and at last, and how it grew in the later half."""
        growth = slope([float(one) for one in later_half(self.resident_kib)])
        counts = [len(one) for one in self.descriptors]
        return {
            "daemon_kib": [self.resident_kib[0], self.resident_kib[-1]],
            "daemon_kib_slope": growth.rounded(3) if growth else None,
            "daemon_fds": [counts[0], counts[-1], max(counts)],
        }


def moment_s(random: Random, latest_s: tuple[float, float]) -> float:
    """After how long to kill: as often while attaching as while attached."""
    return random.uniform(0, random.choice(latest_s))


def attached(call: Future[AttachResponse], toll: Toll, expected: set[grpc.StatusCode]) -> str:
    """The session that an attach has started, "" where it failed, which it must have said in an expected way."""
    try:
        session = call.result().sessions[0].id
    except grpc.RpcError as error:
        toll.count(error.code().name.lower())
        if error.code() not in expected:
            toll.failures.append(f"an attach ended as {error.code().name}: {error.details()}")
        return ""
    toll.count("attached")
    return session


def kill_daemons(bench: Bench, random: Random, kills: int) -> Toll:
    """Kills one daemon after the other, each started in the last one's place, while it attaches to all targets."""
    toll, acknowledged = Toll(), []
    with Daemon() as daemon, patients(bench, random, TARGETS) as targets, ThreadPoolExecutor(TARGETS) as pool:
        for _ in range(kills):
            calls = [pool.submit(daemon.attach, target.program.pid, CALLS) for target in targets]
            time.sleep(moment_s(random, NEW_S))
            daemon.process.kill()
            killed_at = time.monotonic()
            # Before anything is waited for: a call that was not sent yet may take a second to fail.
            toll.recovery_s += [check_recovery(target, killed_at, toll.failures) for target in targets]
            sessions = [session for call in calls if (session := attached(call, toll, DAEMON_DEAD | HONEST))]
            daemon.kill()
            daemon.start()
            acknowledged += sessions
            check_sessions(daemon, sessions, toll)
            check_condition(targets, toll)
            toll.look_at(daemon)
        check_sessions(daemon, acknowledged, toll)
        count_residue(targets, toll)
    return toll


def check_sessions(daemon: Daemon, sessions: list[str], toll: Toll) -> None:
    """Notes acknowledged sessions that a daemon does not know as interrupted."""
    for session in sessions:
        try:
            state = daemon.session(session).state
        except grpc.RpcError as error:
            toll.failures.append(f"the acknowledged session {session} is lost: {error.details()}")
            continue
        if state != INTERRUPTED:
            toll.failures.append(f"{session} is {sessions_pb2.SessionState.Name(state)}, not interrupted")


def check_condition(targets: list[Patient], toll: Toll) -> None:
    """Notes targets that do not go on as before."""
    for target in targets:
        if illness := target.illness():
            took_s = check_recovery(target, time.monotonic(), [])
            toll.failures.append(f"looked well, and {took_s:.2f} s long does no longer: {illness}")
        toll.failures += target.faults()


def count_residue(targets: list[Patient], toll: Toll) -> None:
    """Counts what deaths in the middle of attaches have left in targets: told by link.py, and never run."""
    for target in targets:
        fds, pages = target.residue()
        toll.outcomes["fds left"] = toll.outcomes.get("fds left", 0) + fds
        toll.outcomes["pages left"] = toll.outcomes.get("pages left", 0) + pages


def kill_helpers(bench: Bench, random: Random, kills: int) -> Toll:
    """Kills the helpers of a daemon that goes on, while it attaches to a target or is attached to it."""
    toll = Toll()
    with Daemon() as daemon, patients(bench, random, TARGETS) as targets, ThreadPoolExecutor(1) as pool:
        for _ in range(kills):
            target = random.choice(targets)
            # A helper that is warm: else most kills would hit its start.
            attach_and_detach(daemon, random.choice(targets), toll)
            target.activity.progress(target.program)
            # Here there is one helper, whatever became of the last one.
            toll.look_at(daemon)
            helpers = [child.pid for child in psutil.Process(daemon.process.pid).children()]
            call = pool.submit(daemon.attach, target.program.pid, CALLS)
            time.sleep(moment_s(random, WARM_S))
            killed_at = time.monotonic()
            for helper in helpers:
                with suppress(ProcessLookupError):
                    os.kill(helper, signal.SIGKILL)
            if attached(call, toll, HONEST):
                daemon.detach(target.program.pid)
                killed_at = time.monotonic()
            toll.recovery_s.append(check_recovery(target, killed_at, toll.failures))
            check_condition([target], toll)
        count_residue(targets, toll)
    check_size(toll)
    return toll


def attach_and_detach(daemon: Daemon, target: Patient, toll: Toll) -> None:
    """One whole attachment, which must come about."""
    told = []
    # Reads what it has said meanwhile: a target that nobody reads blocks in a write, where no attach comes through.
    target.activity.progress(target.program)
    for _ in range(ATTACH_TRIES):
        try:
            daemon.attach(target.program.pid, CALLS)
            daemon.detach(target.program.pid)
        except grpc.RpcError as error:
            told.append(f"{error.code().name}: {error.details()}")
        else:
            return
        toll.count("tried again")
    toll.failures.append(f"{target.name} cannot be attached to any more: {told}")


def check_size(toll: Toll) -> None:
    """Notes a daemon that keeps descriptors, and which."""
    first, last = toll.descriptors[0], toll.descriptors[-1]
    if len(last) > len(first):
        kept = sorted(set(last) - set(first))
        toll.failures.append(f"the daemon had {len(first)} descriptors, and has {len(last)}; new are {kept}")


def kill_targets(bench: Bench, random: Random, kills: int) -> Toll:
    """Kills targets that a daemon attaches to or is attached to: it says so, and keeps nothing of them."""
    toll = Toll()
    with Daemon() as daemon, ThreadPoolExecutor(1) as pool:
        with patient(bench, bench.any_version(random), ACTIVITIES[0]) as first:
            attach_and_detach(daemon, first, toll)
        at_rest = len(descriptors(daemon.process.pid))
        for _ in range(kills):
            with patient(bench, bench.any_version(random), random.choice(ACTIVITIES)) as target:
                call = pool.submit(daemon.attach, target.program.pid, CALLS)
                time.sleep(moment_s(random, WARM_S))
                target.program.kill()
                killed_at = time.monotonic()
                if session := attached(call, toll, HONEST):
                    check_gone(daemon, session, killed_at, toll)
            if not becomes(lambda: len(descriptors(daemon.process.pid)) <= at_rest, SETTLE_S):
                toll.failures.append(f"the daemon keeps {len(descriptors(daemon.process.pid)) - at_rest} descriptors")
            toll.look_at(daemon)
    check_size(toll)
    return toll


def check_gone(daemon: Daemon, session: str, killed_at: float, toll: Toll) -> None:
    """Notes a session that does not end as its target's death makes it end, or too late."""
    state = daemon.ended(session).state
    toll.recovery_s.append(time.monotonic() - killed_at)
    if state != GONE:
        toll.failures.append(f"{session} ended as {sessions_pb2.SessionState.Name(state)}, its target is gone")
    if toll.recovery_s[-1] > TARGET_GONE_S:
        toll.failures.append(f"the end of a target was seen after {toll.recovery_s[-1]:.2f} s")
