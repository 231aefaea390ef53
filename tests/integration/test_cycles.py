"""Attach, profile, detach, again and again, on a server under load: nobody notices, and nothing adds up.

The short form of tests/soak/cycles.py, without a daemon.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

import pytest
from attachments import attached, detach, record_calls
from footprint import Footprint, becomes, footprint, resident_kib
from programs import Program
from soak.cycles import Load, loaded

if TYPE_CHECKING:
    from collections.abc import Callable

    from execd.attach.attacher import Attacher
    from interpreters import Interpreter
    from programs import ProgramFolders

pytestmark = pytest.mark.alone

LEAST_PER_S = 200
CYCLES = 50
PROFILE_S = 0.03
PAUSE_S = 0.01
# The cycle from which memory counts. Until then allocators come to their working size: malloc
# gives the agent's thread whichever arena is free, so that one after the other grows, once, to what an attach needs.
FIRST_COUNTED = 20
GROWTH_KIB = 2048
LOADED_BEFORE_S = 0.5
# The main thread, and the one that answers commands.
THREADS_AT_REST = 2
REST_TIMEOUT_S = 5.0
FOUND = ("threads", "tools", "profile", "trace", "switch_interval_s", "modules", "filters", "main_names")


@dataclass(frozen=True, slots=True)
class Cycles:
    """What so many cycles came to.

    Attributes:
        version: of the server's interpreter.
        load: the load during the cycles.
        windows: from the start of each attach to the end of its detach, seconds on CLOCK_MONOTONIC.
        lasted_s: the time of all.
        resident_kib: of the server, after each cycle.
        before, afterwards: the server from the outside, without load.
        state_before, state_after: what it says of itself then.
        stderr: all that it wrote there.
    """

    version: str
    load: Load
    windows: list[tuple[float, float]]
    lasted_s: float
    resident_kib: list[int]
    before: Footprint
    afterwards: Footprint
    state_before: dict[str, Any]
    state_after: dict[str, Any]
    stderr: str


def one_cycle(attacher: Attacher, pid: int) -> tuple[float, float]:
    """Attach, record for a while, detach; from when until when."""
    began = time.monotonic()
    with attached(attacher, pid) as link:
        record_calls(link)
        time.sleep(PROFILE_S)
        detach(link)
    return began, time.monotonic()


def run_cycles(attacher: Attacher, server: Program, count: int) -> Cycles:
    """Warms up, then runs cycles under load."""
    with loaded(server.ready_text):
        one_cycle(attacher, server.pid)
        time.sleep(LOADED_BEFORE_S)
    server.ask("state")
    before, state_before = at_rest(server), server.ask_json("state")
    windows, resident = [], []
    with loaded(server.ready_text) as load:
        began = time.monotonic()
        for _ in range(count):
            windows.append(one_cycle(attacher, server.pid))
            resident.append(resident_kib(server.pid))
            time.sleep(PAUSE_S)
        lasted_s = time.monotonic() - began
    afterwards, state_after = at_rest(server), server.ask_json("state")
    version = server.interpreter.full_version
    return Cycles(
        version, load, windows, lasted_s, resident, before, afterwards, state_before, state_after, server.stderr()
    )


def at_rest(server: Program) -> Footprint:
    """The server from the outside once the threads of its connections have ended."""
    assert becomes(lambda: len(footprint(server.pid).threads) == THREADS_AT_REST, REST_TIMEOUT_S)
    return footprint(server.pid)


@pytest.fixture(scope="module")
def cycles(
    interpreter: Interpreter,
    attacher: Attacher,
    program_folders: ProgramFolders,
    tmp_path_factory: pytest.TempPathFactory,
) -> Cycles:
    """The cycles on a server of each version in turn."""
    command = program_folders.command(interpreter, "http_server", ())
    with Program(interpreter, command, tmp_path_factory.mktemp("cycles") / "stderr", dict(os.environ)) as server:
        server.wait_until_ready()
        return run_cycles(attacher, server, CYCLES)


def growth_kib(cycles: Cycles) -> int:
    """How much the server's memory grew while it counts."""
    return cycles.resident_kib[-1] - cycles.resident_kib[FIRST_COUNTED]


def p50_ms(latencies_s: list[float]) -> float:
    """The median in milliseconds."""
    return round(median(latencies_s) * 1000, 2)


def p99_ms(latencies_s: list[float]) -> float:
    """The 99th percentile in milliseconds."""
    return round(quantiles(latencies_s, n=100)[98] * 1000, 2)


def requests_by_window(cycles: Cycles) -> tuple[list[float], list[float]]:
    """The latencies of requests that were under way during an attachment, and of the others."""
    inside, outside = [], []
    for start, latency in cycles.load.requests:
        overlaps = any(start < end and start + latency > begin for begin, end in cycles.windows)
        (inside if overlaps else outside).append(latency)
    return inside, outside


def test_no_request_fails_and_the_load_is_what_it_is_meant_to_be(cycles: Cycles) -> None:
    assert cycles.load.failed == []
    assert len(cycles.load.requests) / cycles.lasted_s >= LEAST_PER_S


def test_threads_and_signals_and_descriptors_and_pages_are_as_before(cycles: Cycles) -> None:
    assert cycles.afterwards == cycles.before


def test_the_server_finds_everything_as_before_the_first_cycle(cycles: Cycles) -> None:
    before, after = ({what: state[what] for what in FOUND} for state in (cycles.state_before, cycles.state_after))
    assert after == before


def test_memory_does_not_grow(cycles: Cycles) -> None:
    assert growth_kib(cycles) < GROWTH_KIB


def test_nothing_is_written_to_stderr(cycles: Cycles) -> None:
    assert cycles.stderr == ""


def test_the_latency_in_and_out_of_attachments_is_known(
    cycles: Cycles, record_testsuite_property: Callable[[str, object], None]
) -> None:
    inside, outside = requests_by_window(cycles)
    assert inside
    assert outside
    figures = {
        "requests_per_s": round(len(cycles.load.requests) / cycles.lasted_s, 1),
        "cycle_ms": round(cycles.lasted_s / len(cycles.windows) * 1000, 1),
        "growth_kib": growth_kib(cycles),
        "resident_kib": cycles.resident_kib[:: len(cycles.resident_kib) // 10],
        "p50_ms": [p50_ms(inside), p50_ms(outside)],
        "p99_ms": [p99_ms(inside), p99_ms(outside)],
    }
    record_testsuite_property(f"{len(cycles.windows)} cycles on {cycles.version}", json.dumps(figures))
