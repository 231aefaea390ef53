"""Files of tracemalloc: ours load in every version of it, its own are read, and hostile ones do nothing."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from call_trees import header
from execd.errors import UsageError
from execd.imports.pickle_reader import MAX_BYTES
from execd.imports.tracemalloc_file import profile_of, read
from execd.model.memory.blocks import blocks_of
from execd.model.memory.statistics import By, statistics
from execd.model.profile import check
from execd.reports import ReportOptions, render

if TYPE_CHECKING:
    from pathlib import Path

    from agent_drivers import Drivers
    from interpreters import Interpreter

TRACES = [
    (0, 100, (("/srv/app.py", 3), ("/srv/main.py", 9)), 2),
    (0, 100, (("/srv/app.py", 3), ("/srv/main.py", 9)), 2),
    (0, 50, (("/srv/app.py", 3),), 7),
    (389047, 7, (("/srv/\u00fcmlaut \u2028.py", 1),), 1),
]
LIMIT = 4


def own_snapshot() -> Any:
    return tracemalloc.Snapshot(TRACES, LIMIT)


def dumped(value: object, protocol: int) -> bytes:
    return pickle.dumps(value, protocol)


class Evil:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch /tmp/execd-was-here",)


def exported() -> bytes:
    return render(profile_of(read(dumped(own_snapshot(), 5)), header()), "tracemalloc", ReportOptions())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_file_of_the_stdlib_gives_its_statistics(protocol: int) -> None:
    profile = check(profile_of(read(dumped(own_snapshot(), protocol)), header()))
    for by in By:
        found = [(one.size, one.count, one.place) for one in statistics(blocks_of(profile), by)]
        expected = [
            (one.size, one.count, tuple((frame.filename, frame.lineno) for frame in one.traceback))
            for one in own_snapshot().statistics(by.value)
        ]
        assert found == expected
    assert profile.header.extra["traceback_limit"] == LIMIT


def test_a_large_real_snapshot(tmp_path: Path) -> None:
    tracemalloc.start(10)
    kept = [bytearray(number) for number in range(1000)]
    snapshot = tracemalloc.take_snapshot()
    tracemalloc.stop()
    snapshot.dump(str(tmp_path / "s"))
    profile = check(profile_of(read((tmp_path / "s").read_bytes()), header()))
    assert sum(one.size for one in blocks_of(profile)) == sum(one.size for one in snapshot.traces)
    assert len(kept) == 1000


def test_our_file_is_what_the_stdlib_had() -> None:
    loaded = pickle.load(io.BytesIO(exported()))  # noqa: S301 - our own
    assert loaded.traces == own_snapshot().traces
    assert loaded.traceback_limit == LIMIT


def test_our_file_loads_in_every_version(drivers: Drivers, interpreter: Interpreter) -> None:
    result = drivers.run(interpreter, "loading_traces", exported().hex())
    assert result == {"limit": LIMIT, "statistics": [str(one) for one in own_snapshot().statistics("lineno")]}


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_hostile_file_runs_nothing(protocol: int) -> None:
    for value in (Evil(), [Evil()], tracemalloc.Snapshot([Evil()], 1), tracemalloc.Snapshot(TRACES, Evil())):
        with pytest.raises(UsageError, match="no snapshot file"):
            read(dumped(value, protocol))


@pytest.mark.parametrize(
    "traces",
    [
        [(0, 1, (), 1)],
        [(0, -1, (("f", 1),), 1)],
        [(0, 1, (("f", -1),), 1)],
        [(0, 1, (("f", 1 << 40),), 1)],
        [(1 << 33, 1, (("f", 1),), 1)],
        [(0, True, (("f", 1),), 1)],
        [(0, 1, ((b"f", 1),), 1)],
        [(0, 1, (("f" * 5000, 1),), 1)],
        [(0, 1, [("f", 1)], 1)],
        [(0, 1, (("f", 1),), 1, 1)],
        [(0, 1, (("f", 1),) * 70_000, 1)],
        [7],
        "text",
        {"a": 1},
    ],
    ids=str,
)
def test_what_no_snapshot_has_is_refused(traces: Any) -> None:
    with pytest.raises(UsageError, match="no snapshot file"):
        read(dumped(tracemalloc.Snapshot(traces, 1), 5))


def test_files_that_are_cut_or_changed_are_refused_or_read() -> None:
    whole = dumped(own_snapshot(), 5)
    for end in range(len(whole)):
        with pytest.raises(UsageError):
            read(whole[:end])
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0xFF
        with contextlib.suppress(UsageError):
            check(profile_of(read(bytes(changed)), header()))


def test_bombs_end_soon() -> None:
    shared = b"\x80\x04" + b")" + b"\x94" + b"h\x00h\x00\x86\x94"
    for depth in range(1, 200):
        shared += b"h" + bytes([depth]) + b"h" + bytes([depth]) + b"\x86\x94"
    with pytest.raises(UsageError):
        read(shared + b".")
    with pytest.raises(UsageError, match="limit of"):
        read(bytes(MAX_BYTES + 1))
    for bomb in (
        b"\x80\x04X\xff\xff\xff\xff.",
        b"\x80\x04\x8d" + b"\xff" * 8 + b".",
        b"(" * 100_000,
        b"\x80\x04r\xff\xff\xff\x7f.",
        b"]" * 100_000,
        b"}" * 100_000,
    ):
        with pytest.raises(UsageError):
            read(bomb)
