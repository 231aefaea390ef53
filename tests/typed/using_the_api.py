"""A program that uses the Python API as others would; it is checked by `mypy --strict`, and never run."""

from __future__ import annotations

import pstats
import sys
import tracemalloc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, assert_type

import execctl
from execctl import CallProfile, Client, MemoryProfile, errors

if TYPE_CHECKING:
    import trace


def slowest(client: Client, pid: int, seconds: float) -> list[tuple[str, float]]:
    """Records calls, and returns the functions that take most of the time themselves."""
    with client.attach(pid, profile=True, builtins=False, labels={"by": "hand"}) as recording:
        recording.wait(seconds)
    profile = recording.profile(CallProfile)
    assert_type(profile.functions[0].callers, Mapping[execctl.FunctionName, execctl.Figures])
    assert_type(profile.to_pstats(), pstats.Stats)
    return sorted(((str(one.name), one.self_s) for one in profile.functions), key=lambda one: -one[1])[:10]


def grown(client: Client, before: str, after: str, by: Literal["filename", "lineno"]) -> dict[str, int]:
    """Compares two snapshots of memory."""
    earlier, later = (client.profile(one, MemoryProfile) for one in (before, after))
    filters = [tracemalloc.Filter(False, "<frozen *>"), tracemalloc.DomainFilter(True, 0)]
    found = later.filtered(filters).compare_to(earlier.filtered(filters), by)
    assert_type(found, list[execctl.StatisticDiff])
    assert_type(later.to_tracemalloc(), tracemalloc.Snapshot)
    return {str(one.traceback[-1]): one.size_diff_bytes for one in found}


def lines_of(client: Client, words: list[str]) -> trace.CoverageResults:
    """Runs a program and counts its lines."""
    with client.run(words, python="python3", count=True, ignore_modules=["json"]) as program:
        program.process.send_signal(0)
    assert_type(program.wait(), int)
    return program.profile(execctl.LineProfile).to_trace()


def what(profile: execctl.Profile) -> str:
    """Tells profiles apart."""
    match profile:
        case CallProfile():
            return f"{profile.totals.calls} calls"
        case execctl.LineProfile():
            return f"{profile.hits} hits in {len(profile.files)} files"
        case MemoryProfile():
            return f"{profile.size_bytes} bytes"
    return profile.origin.collector


def stored(client: Client) -> dict[str, str]:
    """Looks at everything that is stored."""
    return {one.id: what(client.profile(one.id)) for one in client.profiles(max_age_s=3600.0)}


def compared(client: Client, before: str, after: str) -> list[float]:
    """Compares two profiles of calls."""
    found = client.diff(before, after)
    if not isinstance(found, execctl.CallComparison):
        raise TypeError(found)
    return [change.delta.self_s for change in found.changes]


def main(pid: int) -> int:
    """Does all of it, and says what went wrong."""
    try:
        with Client(tell=print) as client:
            if client.doctor(pid).exit_code:
                return client.doctor(pid).exit_code
            slowest(client, pid, 1.0)
            memory = client.memory(pid)
            assert_type(memory.peak_bytes, int)
            client.census(pid).types[0].count.bit_length()
            for chunk in client.follow("s1", timing=True, duration_s=1.0):
                sys.stdout.write(chunk.text)
    except errors.NotFound as error:
        return error.exit_code
    except execctl.ClientError as error:
        sys.exit(f"{error.message}: {error.remedy}")
    return 0


WRONG = """
import execctl
with execctl.Client() as client:
    client.attach(4711, profil=True)
    client.attach(4711, memory=True, nframe="many")
    client.profile("p1").functions
    client.profile("p1", execctl.CallProfile).functions[0].self_ns
    client.profile("p1", str)
execctl.Flight
"""
