"""Attach, profile, detach, again and again, on a server under load: nobody notices, and nothing adds up.

The short form of tests/soak/cycles.py, without a daemon.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from itertools import combinations
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

import pytest
from attachments import attached, detach, record_calls
from footprint import Footprint, becomes, descriptors, footprint, resident_kib
from programs import Program
from soak.cycles import Load, loaded

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Spawn
    from execd.attach.attacher import Attacher
    from interpreters import Interpreter
    from programs import ProgramFolders

pytestmark = pytest.mark.alone

LEAST_PER_S = 200
CYCLES = 50
PROFILE_S = 0.03
PAUSE_S = 0.01
# The cycles from which on memory is looked at, and between two looks.
FIRST_LOOK = 10
LOOK_EACH = 5
# In use, a cycle. Resident memory tells less: malloc gives the agent's thread whichever arena is free, so that one
# after the other grows to what an attach needs: by 13 to 52 KiB a cycle, of which 3 or less were in use.
LEAK_KIB = 8.0
LEAK_BLOCKS = 64.0
# What is planted, a cycle: objects of so many bytes. Those of the first kind are malloc's, the others are Python's.
PLANTED = {"KiB": (1024, 20), "blocks": (128, 160)}
LOADED_BEFORE_S = 0.5
# The main thread, and the one that answers commands.
THREADS_AT_REST = 2
REST_TIMEOUT_S = 5.0
Look = tuple[int, int, int]
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
        looks: (cycle, KiB, blocks) of what the server has in use, see tests/targets/allocated.py.
        before, afterwards: the server from the outside, without load.
        state_before, state_after: what it says of itself then.
        stderr: all that it wrote there.
    """

    version: str
    load: Load
    windows: list[tuple[float, float]]
    lasted_s: float
    resident_kib: list[int]
    looks: list[Look]
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
    # It imports what it needs.
    server.ask("in-use")
    before, state_before = at_rest(server), server.ask_json("state")
    windows, resident, looks = [], [], []
    with loaded(server.ready_text) as load:
        began = time.monotonic()
        for cycle in range(1, count + 1):
            windows.append(one_cycle(attacher, server.pid))
            resident.append(resident_kib(server.pid))
            if cycle >= FIRST_LOOK and cycle % LOOK_EACH == 0:
                looks.append(look(server, cycle))
            time.sleep(PAUSE_S)
        lasted_s = time.monotonic() - began
    afterwards, state_after = at_rest(server), server.ask_json("state")
    version, stderr = server.interpreter.full_version, server.stderr()
    return Cycles(
        version, load, windows, lasted_s, resident, looks, before, afterwards, state_before, state_after, stderr
    )


def look(server: Program, cycle: int) -> Look:
    """What a server has in use when the agent has gone: that frees what it has as its last but one step."""
    assert becomes(lambda: not any("/memfd:execd:" in one for one in descriptors(server.pid)), REST_TIMEOUT_S)
    kib, blocks = server.ask_json("in-use")
    return cycle, kib, blocks


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


def growth(looks: list[Look]) -> dict[str, float]:
    """By how much what is in use grows a cycle: the median of the slopes between any two looks.

    An agent that is told to leave while a thread is in its code leaves its modules to the garbage collector, 400 KiB
    that a later one lets go of (3.9 to 3.11). One look of four may be such, and the median is not of them.
    """
    pairs = list(combinations(looks, 2))
    return {
        what: median((last[which] - first[which]) / (last[0] - first[0]) for first, last in pairs)
        for which, what in enumerate(("KiB", "blocks"), 1)
    }


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
    found = growth(cycles.looks)
    assert found["KiB"] < LEAK_KIB, cycles.looks
    assert found["blocks"] < LEAK_BLOCKS, cycles.looks


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_leak_would_be_found(local_interpreter: Interpreter, spawn: Spawn, what: str) -> None:
    server = spawn(local_interpreter, "http_server")
    size, count = PLANTED[what]
    looks = []
    for cycle in range(FIRST_LOOK, CYCLES + 1, LOOK_EACH):
        server.ask(f"leak {size} {count * LOOK_EACH}")
        looks.append(look(server, cycle))
    assert growth(looks)[what] > {"KiB": LEAK_KIB, "blocks": LEAK_BLOCKS}[what] * 2


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
        "growth": {what: round(slope, 2) for what, slope in growth(cycles.looks).items()},
        "resident_kib": cycles.resident_kib[:: len(cycles.resident_kib) // 10],
        "p50_ms": [p50_ms(inside), p50_ms(outside)],
        "p99_ms": [p99_ms(inside), p99_ms(outside)],
    }
    record_testsuite_property(f"{len(cycles.windows)} cycles on {cycles.version}", json.dumps(figures))
