"""Attach, arm, disarm, detach, again and again, on a server under load: nobody notices, and nothing adds up."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from daemons import CALLS, Daemon
from footprint import Footprint, descriptors, footprint, resident_kib, settled
from soak.figures import later_half, p99, p99_ratio, slope

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from execd_api.v1.sessions_pb2 import SessionSpec
    from programs import Program
    from soak.bench import Bench

LOAD = Path(__file__).parent.parent / "load.py"
REQUESTS_PER_S = 240
# Less is no load; a busy machine does not come to all that is asked for.
LEAST_PER_S = 2
CONNECTIONS = 4
# A round is so many cycles and, before or after them, as many pauses without a cycle.
ROUND = 10
PAUSE_S = 0.06
ARMED_S = (0.01, 0.06)
LOADED_BEFORE_S = 0.5
# Where memory is looked at, and not latency.
SHORT_PAUSE_S = 0.005
# Of fewer cycles the later half is no rest yet: of a server that has a thread for each connection malloc has up to 8
# arenas for each processor, an agent's thread gets one of them each time, and each grows once to what an attach needs
# (3.10, 2 processors: 19 MB, 30.5 MB after 1,700 cycles, 30.7 MB after 5,100). What of that nobody uses comes and goes
# by 2 MB, so memory is judged when malloc has given it back.
LEAST_JUDGED = 4000
# A slope below it is no leak: allocators touch pages that they have and had not used yet. Of the daemon's 53 MB 0.2 KiB
# a cycle were such after 3,600 cycles (its blocks +4 KB in 1,500 cycles, malloc's +22 KB, unused pools 1.3 MB).
LEAST_GROWTH_KIB = 0.5
SETTLE_S = 10.0
SERVERS = ("http_server", "gunicorn_server", "uvicorn_server")
STATE = (
    "threads",
    "fds",
    "tools",
    "profile",
    "trace",
    "switch_interval_s",
    "tracing_memory",
    "modules",
    "filters",
    "main_names",
    "builtin_names",
)
Span = tuple[float, float]


@dataclass
class Load:
    """A load that runs, and when it has ended what it saw."""

    process: subprocess.Popen[str]
    failed: list[str] = field(default_factory=list)
    requests: list[Span] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)

    def end(self) -> None:
        """Ends it and keeps its answer."""
        answer = json.loads(self.process.communicate()[0])
        self.failed, self.answers = answer["failed"], answer["answers"]
        self.requests = sorted((start, latency) for start, latency in answer["requests"])


@dataclass(frozen=True, slots=True)
class Round:
    """Cycles with a pause after each, and pauses alone: spans on CLOCK_MONOTONIC, seconds."""

    pauses: list[Span]
    quiet: list[Span]


@dataclass(frozen=True, slots=True)
class Server:
    """A server under load: where it listens, and the process that answers."""

    program: Program
    port: str
    pid: int

    def rest(self) -> tuple[Footprint, dict[str, Any]]:
        """What it looks like from the outside, and what it says of itself."""
        state = self.program.ask_json("state")
        return footprint(self.pid), state


@contextmanager
def serving(bench: Bench, version: str, name: str) -> Iterator[Server]:
    """A server of a version that is ready."""
    arguments = () if name == "http_server" else (bench.packages_for(version),)
    with bench.program(version, name, *arguments) as program:
        port, _, pid = program.ready_text.partition(" ")
        yield Server(program, port, int(pid or program.pid))


@contextmanager
def loaded(port: str, requests_per_s: int = REQUESTS_PER_S) -> Iterator[Load]:
    """Loads a server."""
    command = [sys.executable, str(LOAD), port, str(requests_per_s), str(CONNECTIONS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        load = Load(process)
        try:
            yield load
            load.end()
        finally:
            process.kill()


@dataclass(frozen=True, slots=True)
class Recording:
    """What a cycle records.

    Attributes:
        specs: the sessions.
        snapshots: the share of the cycles in which a snapshot is taken of each.
        requests_per_s: the load meanwhile, which the server must be able to bear.
        trims: whether the server gives back memory after each round, and says what is left.
    """

    specs: tuple[SessionSpec, ...] = (CALLS,)
    snapshots: float = 0.0
    requests_per_s: int = REQUESTS_PER_S
    trims: bool = False


class Cycles:
    """What a daemon does to a server, and what is seen meanwhile."""

    def __init__(self, server: Server, daemon: Daemon, random: Random, pause_s: float, recording: Recording) -> None:
        self._server = server
        self._daemon = daemon
        self._random = random
        self._pause_s = pause_s
        self._recording = recording
        self.refusals: list[str] = []
        self.attached_s: list[float] = []
        self.resident_kib: list[float] = []
        self.daemon_kib: list[float] = []
        self.trimmed_kib: list[float] = []
        self.rounds: list[Round] = []

    def cycle(self) -> None:
        """Attach and arm, record for a while, disarm and detach."""
        began, armed_s = time.monotonic(), self._random.uniform(*ARMED_S)
        try:
            self._daemon.attach(self._server.pid, *self._recording.specs)
            time.sleep(armed_s)
            if self._random.random() < self._recording.snapshots:
                self._daemon.snapshot(self._server.pid)
            self._daemon.detach(self._server.pid)
        except grpc.RpcError as error:
            self.refusals.append(f"cycle {len(self.attached_s)} ended as {error.code().name}: {error.details()}")
        self.attached_s.append(time.monotonic() - began)

    def round(self, cycles: int) -> None:
        """So many cycles, and as many pauses without one; which comes first is drawn."""
        quiet_first = self._random.random() < 1 / 2
        quiet = [self.pause() for _ in range(cycles)] if quiet_first else []
        pauses = [self.pause_after_cycle() for _ in range(cycles)]
        self.rounds.append(Round(pauses, quiet or [self.pause() for _ in range(cycles)]))
        if self._recording.trims:
            self.trimmed_kib += [float(self._server.program.ask("trimmed"))] * cycles

    def pause_after_cycle(self) -> Span:
        """One cycle; the pause after it."""
        self.cycle()
        self.resident_kib.append(resident_kib(self._server.pid))
        self.daemon_kib.append(resident_kib(self._daemon.process.pid))
        return self.pause()

    def pause(self) -> Span:
        """The same for both kinds of pauses, so that requests are counted in both by one rule."""
        began = time.monotonic()
        time.sleep(self._pause_s)
        return began, time.monotonic()


def run_cycles(
    bench: Bench,
    random: Random,
    count: int,
    version: str,
    name: str,
    pause_s: float = PAUSE_S,
    recording: Recording = Recording(),  # noqa: B008 - frozen
) -> tuple[list[str], dict[str, Any]]:
    """Runs cycles on a new server; what failed, and what was measured."""
    with Daemon() as daemon, serving(bench, version, name) as server:
        cycles = Cycles(server, daemon, random, pause_s, recording)
        with loaded(server.port, recording.requests_per_s) as first_load:
            time.sleep(LOADED_BEFORE_S)
            cycles.cycle()
            time.sleep(LOADED_BEFORE_S)
        if recording.trims:
            # So that what it imports for that was there before.
            server.program.ask("trimmed")
        before, state = settled_rest(server)
        fds = len(descriptors(daemon.process.pid))
        with loaded(server.port, recording.requests_per_s) as load:
            time.sleep(LOADED_BEFORE_S)
            began = time.monotonic()
            for done in range(0, count, ROUND):
                cycles.round(min(ROUND, count - done))
            lasted_s = time.monotonic() - began
        settled(server.pid, before, SETTLE_S)
        afterwards, state_after = server.rest()
        fds_after = len(descriptors(daemon.process.pid))
        failures = [*load_failures(first_load, load, lasted_s), *server_failures(server)]
        failures += [f"the daemon logged {line}" for line in daemon.complaints()]
    failures += [*cycles.refusals, *differences(before, afterwards, state, state_after)]
    if fds_after > fds:
        failures.append(f"the daemon had {fds} descriptors, and has {fds_after}")
    failures += growth_failures("server", cycles.trimmed_kib) + growth_failures("daemon", cycles.daemon_kib)
    return failures, figures(cycles, load, random, lasted_s)


def settled_rest(server: Server) -> tuple[Footprint, dict[str, Any]]:
    """The server when the connections of a load are gone: when it looks the same for a while."""
    # The first answer imports a codec.
    server.rest()
    deadline = time.monotonic() + SETTLE_S
    before = footprint(server.pid)
    while time.monotonic() < deadline:
        time.sleep(LOADED_BEFORE_S)
        if (now := footprint(server.pid)) == before:
            break
        before = now
    return server.rest()


def load_failures(first: Load, load: Load, lasted_s: float) -> Iterator[str]:
    """Requests that failed, answers that differ, a load that was none."""
    yield from (f"a request failed: {failure}" for failure in [*first.failed, *load.failed][:10])
    if len(answers := {*first.answers, *load.answers}) != 1:
        yield f"the answers differ: {sorted(answers)}"
    if len(load.requests) < LEAST_PER_S * lasted_s:
        yield f"only {len(load.requests) / lasted_s:.0f} requests a second"


def server_failures(server: Server) -> Iterator[str]:
    """A server that ended or complained."""
    if not server.program.alive():
        yield "the server is dead"
    if server.program.stderr():
        yield f"stderr: {server.program.stderr()!r}"


def differences(
    before: Footprint, afterwards: Footprint, state: dict[str, Any], state_after: dict[str, Any]
) -> Iterator[str]:
    """What is not as it was before the cycles."""
    pairs = {name: (state[name], state_after[name]) for name in STATE}
    for name in ("descriptors", "threads", "pages", "tracer_pid"):
        pairs[f"from outside: {name}"] = (getattr(before, name), getattr(afterwards, name))
    for name, (old, new) in pairs.items():
        if old != new:
            yield f"{name}: {difference(old, new)}"


def difference(old: Any, new: Any) -> str:
    """What came and what went, of lists; both, of anything else."""
    if isinstance(old, list | tuple):
        return f"came {[one for one in new if one not in old]}, went {[one for one in old if one not in new]}"
    return f"{new!r}, before {old!r}"


def growth_failures(whose: str, resident: list[float]) -> list[str]:
    """A memory that grows."""
    growth = slope(later_half(resident)) if len(resident) >= LEAST_JUDGED else None
    if growth is None or growth.low <= LEAST_GROWTH_KIB:
        return []
    return [f"the {whose}'s memory grows by {growth.value:.2f} KiB a cycle, [{growth.low:.2f}, {growth.high:.2f}]"]


def figures(cycles: Cycles, load: Load, random: Random, lasted_s: float) -> dict[str, Any]:
    """What goes into the journal; latencies in milliseconds."""
    pairs = [(inside(load, one.pauses), inside(load, one.quiet)) for one in cycles.rounds]
    # The same comparison where there is nothing to see: what it says then is the noise.
    null = [(inside(load, one.quiet[::2]), inside(load, one.quiet[1::2])) for one in cycles.rounds]
    outside, quiet = ([value for pair in pairs for value in pair[side]] for side in (0, 1))
    shift, noise = p99_ratio(pairs, random), p99_ratio(null, random)
    slopes = {name: slope(later_half(getattr(cycles, name))) for name in ("resident_kib", "trimmed_kib", "daemon_kib")}
    return {
        "requests": len(load.requests),
        "per_s": round(len(load.requests) / lasted_s, 1),
        "attached_ms": round(sum(cycles.attached_s) / len(cycles.attached_s) * 1000, 1),
        "p99_outside_ms": round(p99(outside) * 1000, 2) if len(outside) > 1 else None,
        "p99_quiet_ms": round(p99(quiet) * 1000, 2) if len(quiet) > 1 else None,
        "p99_ratio": shift.rounded(3) if shift else None,
        "p99_ratio_null": noise.rounded(3) if noise else None,
        "resident_kib": [*cycles.resident_kib[:: max(1, len(cycles.resident_kib) // 10)], cycles.resident_kib[-1]],
        "resident_kib_slope": one.rounded(3) if (one := slopes["resident_kib"]) else None,
        "trimmed_kib": cycles.trimmed_kib[:: max(1, len(cycles.trimmed_kib) // 10)],
        "trimmed_kib_slope": one.rounded(3) if (one := slopes["trimmed_kib"]) else None,
        "daemon_kib": [cycles.daemon_kib[0], cycles.daemon_kib[-1]],
        "daemon_kib_slope": one.rounded(3) if (one := slopes["daemon_kib"]) else None,
    }


def inside(load: Load, spans: list[Span]) -> list[float]:
    """The latencies of the requests that began and ended in one of the spans."""
    return [
        latency for begin, end in spans for start, latency in load.requests if begin <= start and start + latency <= end
    ]
