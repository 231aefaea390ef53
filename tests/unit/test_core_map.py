"""The tables of a native core as the daemon reads them: while they change, and where they are none."""

from __future__ import annotations

import ctypes
import fcntl
import os
import random
import signal
import struct
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from call_trees import header
from core_tables import NO_INDEX, PAGE_BYTES, READER_AT, SEQUENCE_AT, sealed, tables
from execd.attach import coremap
from execd.attach.coremap import CoreMap
from execd.attach.table import TABLE_BYTES, CoreFacts, read_tables
from execd.errors import AttachBusy, NotPermitted, ProfileCorrupt
from footprint import becomes, descriptors, state_letters
from programs import Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent_drivers import Drivers
    from interpreters import Interpreter

LIMIT_BYTES = 1 << 22
COPIES = 1_000
THREADS = 2
CHANGES = 1_000
SEED = 20261122
# FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE.
PUNCH_HOLE = 3
STOPPED_S = 5.0
ENDED_S = 10.0


@contextmanager
def recording(drivers: Drivers, interpreter: Interpreter, folder: Path, threads: int = THREADS) -> Iterator[Program]:
    """A program whose threads call each other's functions as fast as they can, recorded."""
    command = drivers.in_form("native").command(interpreter, "mapping", (threads,))
    environment = {**os.environ, "EXECD_TEST_FORM": "native"}
    with Program(interpreter, command, folder / "stderr", environment) as program:
        program.wait_until_ready()
        yield program


@contextmanager
def mapped(program: Program) -> Iterator[CoreMap]:
    """Its tables."""
    found = CoreMap.open(program.pid, program.ask_json("tables"), LIMIT_BYTES)
    try:
        yield found
    finally:
        found.close()


class Copied:
    """What a copy has of each thread that runs: the calls of its functions, and when it began, by its own clock."""

    def __init__(self, data: bytes) -> None:
        nodes_at, threads_at, functions_at, text_at = struct.unpack_from("<4Q", data, 24)
        nodes, threads, functions = struct.unpack_from("<3I", data, 140)
        rows = [struct.unpack_from("<8I", data, functions_at + 32 * one) for one in range(functions)]
        names = [data[text_at + row[2] : text_at + row[2] + row[3]].decode() for row in rows]
        self.calls: dict[int, dict[str, int]] = {}
        self.began: dict[int, int] = {}
        parents = [struct.unpack_from("<I", data, nodes_at + 64 * node + 40)[0] for node in range(nodes)]
        owners = [_root(parents, node) for node in range(nodes)]
        for number in range(1, threads):
            ident, last_ticks, _, root = struct.unpack_from("<3QI", data, threads_at + 64 * number)
            own = [node for node in range(nodes) if owners[node] == root]
            figures = [struct.unpack_from("<3Q", data, nodes_at + 64 * node) for node in own]
            functions_of = [struct.unpack_from("<I", data, nodes_at + 64 * node + 48)[0] for node in own]
            called = {names[one]: row[1] for one, row in zip(functions_of, figures, strict=True) if one < functions}
            if "middle" in called and "leaf" in called:
                self.calls[ident] = called
                self.began[ident] = last_ticks - sum(row[2] for row in figures)


def _root(parents: list[int], node: int) -> int:
    """The root that a node is below."""
    while node and parents[node] != NO_INDEX:
        node = parents[node]
    return node


def test_each_copy_is_of_one_instant(drivers: Drivers, interpreter: Interpreter, tmp_path: Path) -> None:
    with recording(drivers, interpreter, tmp_path) as program, mapped(program) as tables:
        assert becomes(lambda: len(Copied(tables.copy()).calls) == THREADS, ENDED_S)
        began = Copied(tables.copy()).began
        for _ in range(COPIES):
            found = Copied(tables.copy())
            for calls in found.calls.values():
                assert 0 <= calls["middle"] - calls["leaf"] <= 1
            # All time is somebody's.
            assert found.began == began
        assert program.alive()


def test_a_copy_is_had_of_a_stopped_process_and_of_one_that_was_killed(
    drivers: Drivers, local_interpreter: Interpreter, tmp_path: Path
) -> None:
    with recording(drivers, local_interpreter, tmp_path) as program, mapped(program) as tables:
        assert becomes(lambda: len(Copied(tables.copy()).calls) == THREADS, ENDED_S)
        os.kill(program.pid, signal.SIGSTOP)
        assert becomes(lambda: state_letters(program.pid) == {"T"}, STOPPED_S)
        first, second = Copied(tables.copy()), Copied(tables.copy())
        assert first.calls == second.calls
        program.kill()
        assert Copied(tables.copy_last()).calls == first.calls


def test_who_reads_and_does_not_come_back_is_forgotten(
    drivers: Drivers, local_interpreter: Interpreter, tmp_path: Path
) -> None:
    with recording(drivers, local_interpreter, tmp_path) as program, mapped(program) as tables:
        assert becomes(lambda: len(Copied(tables.copy()).calls) == THREADS, ENDED_S)
        descriptor = os.open(f"/proc/{program.pid}/fd/{program.ask_json('tables')}", os.O_RDWR)
        try:
            os.pwrite(descriptor, (4711).to_bytes(4, "little"), READER_AT)
            assert becomes(lambda: os.pread(descriptor, 4, READER_AT) == bytes(4), ENDED_S)
        finally:
            os.close(descriptor)
        before = Copied(tables.copy()).calls
        assert becomes(lambda: Copied(tables.copy()).calls != before, ENDED_S)


def test_what_was_recorded_is_there_after_the_end_and_stands(
    drivers: Drivers, local_interpreter: Interpreter, tmp_path: Path
) -> None:
    with recording(drivers, local_interpreter, tmp_path) as program, mapped(program) as tables:
        assert becomes(lambda: len(Copied(tables.copy()).calls) == THREADS, ENDED_S)
        program.ask("end")
        found = tables.copy()
        for calls in Copied(found).calls.values():
            assert calls["middle"] == calls["leaf"] > 0
        time.sleep(0.01)
        # The instant of the end is told by the process.
        assert tables.copy() == found


def pipe_end() -> int:
    ours, theirs = os.pipe()
    os.close(theirs)
    return ours


@pytest.mark.parametrize(
    "make",
    [
        pipe_end,
        lambda: os.open("/dev/null", os.O_RDWR),
        lambda: os.open(__file__, os.O_RDONLY),
        lambda: os.open("/", os.O_RDONLY),
        lambda: os.open("/dev/shm", os.O_RDWR | os.O_TMPFILE),  # noqa: S108 - memory that has a file system
        lambda: sealed(bytes(4096), 0),
        lambda: sealed(bytes(4096), fcntl.F_SEAL_SHRINK),
        lambda: sealed(bytes(191)),
        os.eventfd,
    ],
)
def test_what_is_no_memory_of_fixed_size_is_not_opened(make: Any) -> None:
    number = make() if make is not os.eventfd else os.eventfd(0)
    before = descriptors(os.getpid())
    try:
        with pytest.raises(ProfileCorrupt):
            CoreMap.open(os.getpid(), number, LIMIT_BYTES)
        assert descriptors(os.getpid()) == before
    finally:
        os.close(number)


def test_a_descriptor_that_is_not_there_is_told() -> None:
    with pytest.raises(NotPermitted, match="descriptor 9999"):
        CoreMap.open(os.getpid(), 9999, LIMIT_BYTES)


@contextmanager
def opened(content: bytes) -> Iterator[tuple[CoreMap, int]]:
    """Tables of our own, and their descriptor."""
    descriptor = sealed(content)
    found = CoreMap.open(os.getpid(), descriptor, LIMIT_BYTES)
    try:
        yield found, descriptor
    finally:
        found.close()
        os.close(descriptor)


def calls_in(data: bytes) -> int:
    """How often `work` was called by a copy of tables that were made by hand."""
    profile = read_tables(data, header(), os.getpid(), CoreFacts(), TABLE_BYTES)
    assert [one.thread_name for one in profile.labels] == ["MainThread"]
    return sum(profile.column("calls"))


def test_a_copy_has_what_is_used_and_no_reader() -> None:
    with opened(tables(7, reader=7)) as (found, descriptor):
        copied = found.copy()
        assert (len(copied) < PAGE_BYTES, calls_in(copied)) == (True, 7)
        assert copied[READER_AT : READER_AT + 4] == os.pread(descriptor, 4, READER_AT) == bytes(4)
        found.close()
        with pytest.raises(ProfileCorrupt, match="closed"):
            found.copy()


BAD = {
    "magic": 1,
    "version": 99,
    "head_bytes": 0,
    "nodes_at": (1 << 64) - 1,
    "threads_at": 4096,
    "functions_at": 1 << 63,
    "text_at": 4095,
    "nodes": 0xFFFFFFFF,
    "threads": 0xFFFFFFFF,
    "functions": 0xFFFFFFFF,
    "text_bytes": 0xFFFFFFFF,
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("way", ["copy", "copy_last"])
def test_tables_that_lead_out_of_their_memory_are_refused(name: str, way: str) -> None:
    with opened(tables(1, **{name: BAD[name]})) as (found, _), pytest.raises(ProfileCorrupt):
        getattr(found, way)()


def test_more_than_is_allowed_is_refused() -> None:
    descriptor = sealed(tables(1))
    found = CoreMap.open(os.getpid(), descriptor, 256)
    with pytest.raises(ProfileCorrupt, match="256 are allowed"):
        found.copy()
    found.close()
    os.close(descriptor)


def test_a_change_that_does_not_go_on_hides_nothing() -> None:
    with opened(tables(5, sequence=3)) as (found, _):
        assert calls_in(found.copy()) == calls_in(found.copy_last()) == 5


def test_tables_whose_pages_are_taken_away_end_nobody() -> None:
    with opened(tables(1)) as (found, descriptor):
        assert ctypes.CDLL(None).fallocate(descriptor, PUNCH_HOLE, ctypes.c_long(0), ctypes.c_long(PAGE_BYTES)) == 0
        with pytest.raises(ProfileCorrupt):
            found.copy()


def test_tables_that_change_all_the_time_are_given_up(
    local_interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever writes may wait for a processor for long.
    monkeypatch.setattr(coremap, "_STILL_S", 60.0)
    with opened(tables(1, sequence=1)) as (found, descriptor):
        # Odd at each look, and never the same: no writer of ours does that.
        script = (
            "import os, sys\nnumber = 1\n"
            f"place = os.open('/proc/{os.getpid()}/fd/{descriptor}', os.O_RDWR)\nprint('ready', flush=True)\n"
            f"while True:\n    number += 2\n    os.pwrite(place, number.to_bytes(8, 'little'), {SEQUENCE_AT})\n"
        )
        with subprocess.Popen([*local_interpreter.argv, "-c", script], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            with pytest.raises(AttachBusy):
                found.copy()
            writer.kill()


def test_whatever_is_written_into_tables_they_are_a_profile_or_refused(
    drivers: Drivers, local_interpreter: Interpreter, tmp_path: Path
) -> None:
    with recording(drivers, local_interpreter, tmp_path) as program, mapped(program) as tables_there:
        assert becomes(lambda: len(Copied(tables_there.copy()).calls) == THREADS, ENDED_S)
        whole = tables_there.copy()
    choose = random.Random(SEED)  # noqa: S311 - the same ones in every run
    refused = 0
    with opened(whole) as (found, descriptor):
        for _ in range(CHANGES):
            os.pwrite(descriptor, whole, 0)
            for _ in range(choose.randrange(1, 4)):
                at, size = choose.randrange(len(whole) - 8), choose.choice((1, 4, 8))
                os.pwrite(descriptor, choose.choice((bytes(size), b"\xff" * size, choose.randbytes(size))), at)
            try:
                read_tables(found.copy_last(), header(), os.getpid(), CoreFacts(), TABLE_BYTES)
            except ProfileCorrupt:
                refused += 1
    assert 0 < refused < CHANGES
