"""Walks: on servers under load calls are recorded natively, and in any order begun, looked at, ended and left.

Each request calls `fibonacci` a known number of times: so the counts of a recording that has ended are known as well.
Beside it another such server has the same load and is left alone: its memory is what the walked one's is held against.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
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
from soak.figures import Estimate, later_half, slope

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from soak.bench import Bench
    from soak.cycles import Server

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
# KiB a minute that are a leak, of the later half. What malloc has given out grows where nothing leaks too, but less and
# less: each thread of the program keeps up to 7 freed pieces of each size for itself, which count as given out.
LEAST_GROWTH_KIB = {"resident": 200.0, "in use": 60.0}
LEAST_LOOKS = 100
# So many looks are taken for one where a step is looked for: asyncio has a buffer of 256 KiB now and then.
SMOOTHED_LOOKS = 5


@dataclass(frozen=True, slots=True)
class Memory:
    """A server's memory, look by look.

    Attributes:
        resident_kib: when malloc has given back what nobody uses.
        in_use_kib: what malloc has given out then, garbage not counted.
        blocks: how many Python's allocator has, for objects of up to 512 bytes.
    """

    resident_kib: list[float] = field(default_factory=list)
    in_use_kib: list[float] = field(default_factory=list)
    blocks: list[float] = field(default_factory=list)

    def look(self, server: Server) -> None:
        """One look."""
        self.resident_kib.append(float(server.program.ask("trimmed")))
        in_use_kib, blocks = server.program.ask_json("in-use")
        self.in_use_kib.append(float(in_use_kib))
        self.blocks.append(float(blocks))


class Walk:
    """What is done to one server, one thing after the other, and to another one beside it nothing."""

    def __init__(self, server: Server, alone: Server, daemon: Daemon, random: Random) -> None:
        self._server, self._alone, self._daemon, self._random = server, alone, daemon, random
        self._state, self._session, self._looked = "left", "", 0.0
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []
        self.memory, self.alone_memory = Memory(), Memory()
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
        self.memory.look(self._server)
        self.alone_memory.look(self._alone)
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
    """Walks on a new server, with one beside it that is left alone; what failed, and what was measured."""
    with Daemon() as daemon, serving(bench, version, name) as server, serving(bench, version, name) as alone:
        walking = Walk(server, alone, daemon, random)
        with loaded(server.port, REQUESTS_PER_S) as first_load, loaded(alone.port, REQUESTS_PER_S) as first_alone:
            time.sleep(LOADED_BEFORE_S)
            walking.attach()
            walking.leave()
            time.sleep(LOADED_BEFORE_S)
        before, state = settled_rest(server)
        with loaded(server.port, REQUESTS_PER_S) as load, loaded(alone.port, REQUESTS_PER_S) as alone_load:
            began = time.monotonic()
            while time.monotonic() < began + seconds:
                walking.step()
            walking.leave()
            lasted_s = time.monotonic() - began
        settled(server.pid, before, SETTLE_S)
        afterwards, state_after = server.rest()
        failures = [*load_failures(first_load, load, lasted_s), *server_failures(server), *walking.failures]
        failures += [f"alone: {one}" for one in load_failures(first_alone, alone_load, lasted_s)]
        failures += [f"the daemon logged {line}" for line in daemon.complaints()]
    failures += [*differences(before, afterwards, state, state_after), *grown(walking)]
    return failures, {
        "requests": len(load.requests),
        "alone_requests": len(alone_load.requests),
        "per_s": round(len(load.requests) / lasted_s, 1),
        "outcomes": dict(walking.done),
        "counted_requests": walking.counted,
        **memory_figures(walking),
    }


def memory_figures(walking: Walk) -> dict[str, Any]:
    """What the three processes hold in the course of a walk, and what a minute adds in its later half."""
    looked = {
        "server": walking.memory.resident_kib,
        "server_in_use": walking.memory.in_use_kib,
        "server_blocks": walking.memory.blocks,
        "alone": walking.alone_memory.resident_kib,
        "alone_in_use": walking.alone_memory.in_use_kib,
        "alone_blocks": walking.alone_memory.blocks,
        "daemon": walking.daemon_kib,
    }
    a_minute = {f"{name}_a_minute": rounded(a_minute_of(looks)) for name, looks in looked.items()}
    seen = {f"{name}_looks": looks[:: max(1, len(looks) // 10)] for name, looks in looked.items()}
    return {**a_minute, **seen, "daemon_kib": [walking.daemon_kib[0], walking.daemon_kib[-1]]}


def a_minute_of(looks: Sequence[float]) -> Estimate | None:
    """What a minute adds, of the later half of looks; None of too few."""
    growth, times = slope(later_half(looks)), 60 / LOOK_EVERY_S
    return None if growth is None else Estimate(growth.value * times, growth.low * times, growth.high * times)


def rounded(growth: Estimate | None) -> list[float] | None:
    """An estimate as a journal keeps it."""
    return None if growth is None else growth.rounded(1)


def grown(walking: Walk) -> list[str]:
    """Memories that grow: the server's by more than that of the one which is left alone."""
    own, other = walking.memory, walking.alone_memory
    return [
        *growth_told("server", "resident", more(own.resident_kib, other.resident_kib)),
        *growth_told("server", "in use", more(own.in_use_kib, other.in_use_kib)),
        *growth_told("daemon", "resident", walking.daemon_kib),
    ]


def more(looks: list[float], others: list[float]) -> list[float]:
    """By how much each look is more than that at the same time at another."""
    return [one - other for one, other in zip(looks, others, strict=True)]


def without_step(looks: Sequence[float]) -> list[float]:
    """Looks as they were but for one step: a table that doubles once, as that of the interned strings, is no leak."""
    reach = SMOOTHED_LOOKS // 2
    smooth = [median(looks[max(0, at - reach) : at + reach + 1]) for at in range(len(looks))]
    rises = [later - earlier for earlier, later in pairwise(smooth)]
    step = max(rises)
    after = rises.index(step) + 1
    return smooth[:after] + [one - step for one in smooth[after:]]


def growth_told(whose: str, what: str, looks: list[float]) -> list[str]:
    """What is told of a memory that grows, nothing of any other."""
    growth = (
        a_minute_of(looks[: len(looks) // 2] + without_step(later_half(looks))) if len(looks) >= LEAST_LOOKS else None
    )
    if growth is None or growth.low <= LEAST_GROWTH_KIB[what]:
        return []
    told = f"{growth.value:.0f} [{growth.low:.0f}, {growth.high:.0f}] KiB a minute"
    return [f"the {whose}'s memory, {what}, grows by {told}"]
