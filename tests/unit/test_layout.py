"""The table of CPython's internals, held against running interpreters of every version."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from execd.attach import process
from execd.attach.interpreter import Finder, check
from execd.attach.layout import DEBUG_OFFSETS_SIZE, SUPPORTED, layout_for
from execd.errors import ExecdError, NotSupported, TargetGone
from footprint import becomes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_drivers import Drivers
    from execd.attach.interpreter import Interpreter as Found
    from interpreters import Interpreter

THREADS = 5
HOLDS_S = 5.0
# Frames that the driver's main thread has open: itself and its module, on some versions more of the start.
FRAMES = 20


@dataclass(frozen=True)
class Onlooker:
    """A running program, what it says of itself, and what was found in it."""

    pid: int
    facts: dict[str, Any]
    found: Found


@contextmanager
def onlooker(drivers: Drivers, interpreter: Interpreter, *arguments: object) -> Iterator[Onlooker]:
    """Start the program as a child, so that its memory may be read under yama too."""
    command = drivers.command(interpreter, "idling", arguments)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        try:
            facts = json.loads(program.stdout.readline())
            yield Onlooker(program.pid, facts, Finder().find(program.pid, process.mappings(program.pid)))
        finally:
            program.kill()


def test_the_version_is_the_programs_own(drivers: Drivers, interpreter: Interpreter) -> None:
    with onlooker(drivers, interpreter, 0) as seen:
        assert seen.found.version == tuple(map(int, interpreter.version.split(".")))
        # Before 3.11 the patch level is not to be seen from outside.
        assert seen.found.version_text in (seen.facts["version"], interpreter.version)
        assert Finder().version(seen.pid) == seen.found.version_text


def test_every_thread_is_found_by_its_identifier(drivers: Drivers, interpreter: Interpreter) -> None:
    with onlooker(drivers, interpreter, THREADS) as seen:
        states = seen.found.thread_states()
        assert sorted(state.thread_id for state in states) == seen.facts["threads"]
        assert len(states) == THREADS + 1
        # Newest first: the main thread is the oldest.
        assert states[-1].thread_id == seen.facts["main"]


def test_of_waiting_threads_none_holds_the_gil(drivers: Drivers, interpreter: Interpreter) -> None:
    with onlooker(drivers, interpreter, THREADS) as seen:
        while process.status(seen.pid).state != "S":
            continue
        assert seen.found.gil().holder == 0
        assert seen.found.gil().contains(seen.found.gil().start)
        assert not seen.found.gil().contains(seen.found.gil().start - 1)


def test_a_computing_thread_holds_the_gil(drivers: Drivers, interpreter: Interpreter) -> None:
    with onlooker(drivers, interpreter, THREADS, "busy") as seen:
        (main,) = (state for state in seen.found.thread_states() if state.thread_id == seen.facts["main"])
        # It may wait for the processor in an instant without the lock.
        assert becomes(lambda: seen.found.gil().holder == main.address, HOLDS_S)
        assert {seen.found.gil().holder for _ in range(100)} <= {main.address, 0}


def test_what_is_left_of_the_recursion_limit_is_nearly_all(drivers: Drivers, interpreter: Interpreter) -> None:
    with onlooker(drivers, interpreter, 1) as seen:
        for state in seen.found.thread_states():
            assert seen.facts["limit"] - FRAMES <= seen.found.recursion_left(state) <= seen.facts["limit"]


def test_a_running_interpreter_is_not_finalizing(drivers: Drivers, interpreter: Interpreter) -> None:
    with onlooker(drivers, interpreter, 0) as seen:
        assert not seen.found.finalizing()


@pytest.mark.parametrize("offset", ["threads_head", "next_thread", "interpreter", "thread_id"])
@pytest.mark.parametrize("shift", [8, -8, 1 << 20])
def test_an_offset_that_does_not_fit_is_refused(
    drivers: Drivers, local_interpreter: Interpreter, offset: str, shift: int
) -> None:
    with onlooker(drivers, local_interpreter, THREADS) as seen:
        layout = replace(seen.found.layout, **{offset: getattr(seen.found.layout, offset) + shift})
        with pytest.raises(NotSupported, match="not laid out"):
            check(replace(seen.found, layout=layout))


@pytest.mark.parametrize("shift", [8, -8, 1 << 30, 1 << 62])
def test_a_main_interpreter_that_is_none_is_refused(
    drivers: Drivers, local_interpreter: Interpreter, shift: int
) -> None:
    with onlooker(drivers, local_interpreter, 0) as seen, pytest.raises(NotSupported, match="not laid out"):
        check(replace(seen.found, main=seen.found.main + shift))


def test_offsets_that_do_not_fit_are_refused_on_every_version(drivers: Drivers, interpreter: Interpreter) -> None:
    with onlooker(drivers, interpreter, THREADS) as seen:
        check(seen.found)
        layout = replace(seen.found.layout, interpreter=seen.found.layout.interpreter + 8)
        with pytest.raises(NotSupported, match=re.escape(seen.found.version_text)):
            check(replace(seen.found, layout=layout))


def test_a_ring_whose_indexes_are_none_is_refused(drivers: Drivers, local_interpreter: Interpreter) -> None:
    with onlooker(drivers, local_interpreter, 0) as seen:
        assert seen.found.layout.pending is not None
        # The first slot's address stands where the index is looked for: no ring is that long.
        pending = replace(seen.found.layout.pending, slots=0)
        with pytest.raises(NotSupported):
            check(replace(seen.found, layout=replace(seen.found.layout, pending=pending)))


def test_a_process_without_cpython_is_refused() -> None:
    with subprocess.Popen(["sleep", "60"]) as program:
        with pytest.raises(NotSupported, match=f"process {program.pid} is not CPython"):
            Finder().find(program.pid, process.mappings(program.pid))
        assert Finder().version(program.pid) == ""
        program.kill()


def test_a_process_that_ended_is_a_target_gone() -> None:
    with subprocess.Popen(["sleep", "60"]) as program:
        mappings = process.mappings(program.pid)
        program.kill()
    with pytest.raises((TargetGone, NotSupported)):
        Finder().find(program.pid, mappings)


@pytest.mark.parametrize("version", [(2, 7), (3, 8), (3, 16), (4, 0)])
def test_other_versions_are_refused_by_name(version: tuple[int, int]) -> None:
    with pytest.raises(NotSupported, match=rf"{version[0]}\.{version[1]} is not supported; 3\.9 to 3\.15 are"):
        layout_for(version, bytes(DEBUG_OFFSETS_SIZE))


@pytest.mark.parametrize("version", SUPPORTED)
def test_every_supported_version_has_a_layout_or_wants_its_debug_offsets(version: tuple[int, int]) -> None:
    if version < (3, 13):
        assert layout_for(version, b"").version == version
        return
    with pytest.raises(NotSupported, match="_Py_DebugOffsets"):
        layout_for(version, bytes(DEBUG_OFFSETS_SIZE))


@pytest.mark.parametrize("version", [version for version in SUPPORTED if version >= (3, 13)])
def test_a_free_threaded_build_is_refused(version: tuple[int, int]) -> None:
    start = b"xdebugpy" + bytes(8) + (1).to_bytes(8, "little") + bytes(DEBUG_OFFSETS_SIZE - 24)
    with pytest.raises(NotSupported, match="free-threaded"):
        layout_for(version, start)


@pytest.mark.parametrize("version", [version for version in SUPPORTED if version >= (3, 14)])
def test_debug_offsets_that_are_not_laid_out_as_known_are_refused(version: tuple[int, int]) -> None:
    start = b"xdebugpy" + bytes(DEBUG_OFFSETS_SIZE - 8)
    with pytest.raises(ExecdError, match="not laid out as expected"):
        layout_for(version, start)
