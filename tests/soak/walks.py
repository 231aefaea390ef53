"""Walks: on servers under load calls are recorded natively, and in any order begun, looked at, ended and left.

Each request calls `fibonacci` a known number of times: so the counts of a recording that has ended are known as well.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import grpc
from daemons import Daemon
from execd.model import codec
from execd_api.v1.sessions_pb2 import SessionSpec
from footprint import resident_kib, settled
from soak.cycles import (
    LOADED_BEFORE_S,
    SETTLE_S,
    differences,
    load_failures,
    loaded,
    server_failures,
    serving,
    settled_rest,
)
from soak.figures import later_half, slope

if TYPE_CHECKING:
    from random import Random

    from soak.bench import Bench
    from soak.cycles import Server
    from soak.figures import Estimate

SERVERS = ("gunicorn_server", "uvicorn_server")
NATIVE = SessionSpec(collector="calls", options_json=json.dumps({"builtins": True, "subcalls": True, "form": "native"}))
# What may be done, how likely, while nothing is attached, something is attached, and something is recorded.
DOINGS = {
    "left": {"attach": 1},
    "attached": {"start": 3, "detach": 1},
    "recording": {"snapshot": 3, "stop": 2, "detach": 2},
}
PAUSE_S = (0.005, 0.08)
REQUESTS_PER_S = 200
# Of a request for /8, and how many may be in the midst of one when a recording begins, and when it ends.
CALLS_A_REQUEST = 67
IN_THE_MIDST = 2 * 4
# Memory is looked at every so often, while nothing is attached, when malloc has given back what nobody uses.
LOOK_EVERY_S = 2.0
# Of looks at a server that has rested: KiB a minute that are a leak, of the later half. Arenas come by 1 MiB.
LEAST_GROWTH_KIB = 200.0
LEAST_LOOKS = 100


class Walk:
    """What is done to one server, one thing after the other."""

    def __init__(self, server: Server, daemon: Daemon, random: Random) -> None:
        self._server, self._daemon, self._random = server, daemon, random
        self._state, self._session, self._looked = "left", "", 0.0
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []
        self.trimmed_kib: list[float] = []
        self.daemon_kib: list[float] = []
        self.counted = 0

    def step(self) -> None:
        """One thing, and a pause."""
        ways = DOINGS[self._state]
        doing = self._random.choices(list(ways), list(ways.values()))[0]
        try:
            getattr(self, doing)()
        except grpc.RpcError as error:
            self.failures.append(f"{doing} number {self.done[doing]} failed: {error.code().name}: {error.details()}")
        self.done[doing] += 1
        time.sleep(self._random.uniform(*PAUSE_S))

    def attach(self) -> None:
        """Attach, and record."""
        self.look()
        self._begun(self._daemon.attach(self._server.pid, NATIVE).sessions[0])

    def start(self) -> None:
        """Record on what is attached."""
        self._begun(self._daemon.start_session(self._server.pid, NATIVE))

    def snapshot(self) -> None:
        """Look at what is recorded."""
        self._daemon.snapshot(self._session)

    def stop(self) -> None:
        """Record no more; the agent stays."""
        self._daemon.stop(self._session)
        self._state = "attached"
        self._count()

    def detach(self) -> None:
        """Leave, whatever is recorded."""
        was_recording = self._state == "recording"
        self._daemon.detach(self._server.pid)
        self._state = "left"
        if was_recording:
            self._count()

    def leave(self) -> None:
        """Detach, if anything is attached."""
        if self._state != "left":
            self.detach()

    def look(self) -> None:
        """Look at memory, now and then."""
        if time.monotonic() < self._looked + LOOK_EVERY_S:
            return
        self._looked = time.monotonic()
        self.trimmed_kib.append(float(self._server.program.ask("trimmed")))
        self.daemon_kib.append(float(resident_kib(self._daemon.process.pid)))

    def _begun(self, session: Any) -> None:
        self._state, self._session = "recording", session.id
        if session.form != "native":
            self.failures.append(f"session {session.id} has the form {session.form!r}: {list(session.caveats)}")

    def _count(self) -> None:
        """Hold the calls of a recording against its requests."""
        profile = codec.decode(self._daemon.final_profile(self._session))
        calls: Counter[str] = Counter()
        for node, count in enumerate(profile.column("calls")):
            calls[profile.functions[profile.function_of(node)].name] += count
        requests, found = calls["application"], calls["fibonacci"]
        self.counted += requests
        if profile.header.lost or abs(found - CALLS_A_REQUEST * requests) > CALLS_A_REQUEST * IN_THE_MIDST:
            told = f"{requests} requests, {found} calls of fibonacci, lost {profile.header.lost}"
            self.failures.append(f"session {self._session}: {told}")


def walk(bench: Bench, random: Random, version: str, name: str, seconds: float) -> tuple[list[str], dict[str, Any]]:
    """Walks on a new server; what failed, and what was measured."""
    with Daemon() as daemon, serving(bench, version, name) as server:
        walking = Walk(server, daemon, random)
        with loaded(server.port, REQUESTS_PER_S) as first_load:
            time.sleep(LOADED_BEFORE_S)
            walking.attach()
            walking.leave()
            time.sleep(LOADED_BEFORE_S)
        before, state = settled_rest(server)
        with loaded(server.port, REQUESTS_PER_S) as load:
            began = time.monotonic()
            while time.monotonic() < began + seconds:
                walking.step()
            walking.leave()
            lasted_s = time.monotonic() - began
        settled(server.pid, before, SETTLE_S)
        afterwards, state_after = server.rest()
        failures = [*load_failures(first_load, load, lasted_s), *server_failures(server), *walking.failures]
        failures += [f"the daemon logged {line}" for line in daemon.complaints()]
    failures += differences(before, afterwards, state, state_after)
    a_minute = 60 / LOOK_EVERY_S
    failures += [*grown("server", walking.trimmed_kib, a_minute), *grown("daemon", walking.daemon_kib, a_minute)]
    return failures, {
        "requests": len(load.requests),
        "per_s": round(len(load.requests) / lasted_s, 1),
        "outcomes": dict(walking.done),
        "counted_requests": walking.counted,
        "trimmed_kib": walking.trimmed_kib[:: max(1, len(walking.trimmed_kib) // 10)],
        "trimmed_kib_a_minute": rounded(slope(later_half(walking.trimmed_kib)), a_minute),
        "daemon_kib": walking.daemon_kib[:: max(1, len(walking.daemon_kib) // 10)],
        "daemon_kib_a_minute": rounded(slope(later_half(walking.daemon_kib)), a_minute),
    }


def rounded(growth: Estimate | None, times: float) -> list[float] | None:
    """A slope by another unit, as a journal keeps it."""
    return None if growth is None else [round(one * times, 1) for one in (growth.value, growth.low, growth.high)]


def grown(whose: str, looks: list[float], a_minute: float) -> list[str]:
    """A memory that grows."""
    growth = slope(later_half(looks)) if len(looks) >= LEAST_LOOKS else None
    if growth is None or growth.low * a_minute <= LEAST_GROWTH_KIB:
        return []
    return [f"the {whose}'s memory grows by {growth.value * a_minute:.0f} KiB a minute"]
