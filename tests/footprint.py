"""Footprint: what an attach could leave in a process, seen from the outside, without asking the process."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from execd.attach.link import CODE_SIZE, PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNAL_FIELDS = ("SigBlk", "SigIgn", "SigCgt")
# glibc installs its handlers of signals 32 and 33 when a process starts its first thread.
GLIBC_SIGNALS = 0b11 << 31
SETTLE_TIMEOUT_S = 3.0
POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Footprint:
    """One look at a process.

    Attributes:
        descriptors: "number target" of every open descriptor.
        threads: for every thread, by its id, the signals that it blocks, ignores and catches.
        pages: addresses of anonymous mappings that are as large as those that an attach makes, for text and for code.
        tracer_pid: who traces it, 0 for nobody.
    """

    descriptors: tuple[str, ...]
    threads: dict[int, tuple[str, ...]]
    pages: tuple[str, ...]
    tracer_pid: int


def footprint(pid: int) -> Footprint:
    """Looks at a process; a thread that ends meanwhile is left out."""
    return Footprint(
        descriptors=tuple(sorted(descriptors(pid))),
        threads={tid: signals for tid in thread_ids(pid) if (signals := signal_state(pid, tid))},
        pages=tuple(pages(pid)),
        tracer_pid=int(status_fields(f"/proc/{pid}/status")["TracerPid"]),
    )


def settled(pid: int, expected: Footprint, timeout_s: float = SETTLE_TIMEOUT_S) -> Footprint:
    """Waits until a process looks as expected, or no longer: an agent's thread ends a moment after its answer.

    Args:
        pid: the process.
        expected: what it looked like before.
        timeout_s: how long it may take.

    Returns:
        The last look, for the assertion.
    """
    becomes(lambda: footprint(pid) == expected, timeout_s)
    return footprint(pid)


def becomes(condition: Callable[[], bool], timeout_s: float, every_s: float = POLL_S) -> bool:
    """Waits for what the kernel sends no event for; tells whether it came true in time."""
    deadline = time.monotonic() + timeout_s
    while not (true := condition()) and time.monotonic() < deadline:
        time.sleep(every_s)
    return true


def descriptors(pid: int) -> list[str]:
    """What each descriptor of a process points to."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(f"{entry.name} {entry.readlink()}")
        except FileNotFoundError:
            continue
    return found


def thread_ids(pid: int) -> list[int]:
    """The ids of the threads of a process."""
    return sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208 -- names are all that counts


def signal_state(pid: int, tid: int) -> tuple[str, ...]:
    """The signal masks of a thread, () where it has ended."""
    try:
        fields = status_fields(f"/proc/{pid}/task/{tid}/status")
    except (FileNotFoundError, ProcessLookupError):
        return ()
    return tuple(f"{name} {int(fields[name], 16) & ~GLIBC_SIGNALS:016x}" for name in SIGNAL_FIELDS)


def state_letters(pid: int) -> set[str]:
    """The states of all threads as the kernel names them: R, S, D, T, t, Z."""
    letters = set()
    for tid in thread_ids(pid):
        try:
            letters.add(status_fields(f"/proc/{pid}/task/{tid}/status")["State"][0])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    return letters


def system_call(pid: int) -> str:
    """The number of the system call that the main thread is in, or "running"."""
    return Path(f"/proc/{pid}/syscall").read_text().split()[0]


def resident_kib(pid: int) -> int:
    """Resident memory of a process in KiB."""
    return int(status_fields(f"/proc/{pid}/status")["VmRSS"].split()[0])


def pages(pid: int) -> list[str]:
    """Anonymous mappings of the size of an attach's pages, by address."""
    rows = [line.split() for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    anonymous = [row for row in rows if row[4] == "0" and len(row) == 5]
    sizes = {"rw-p": PAGE_SIZE, "r-xp": CODE_SIZE}
    return [row[0] for row in anonymous if mapping_bytes(row[0]) == sizes.get(row[1])]


def mapping_bytes(span: str) -> int:
    """The size of a mapping that /proc writes as "start-end"."""
    start, end = (int(part, 16) for part in span.split("-"))
    return end - start


def status_fields(path: str) -> dict[str, str]:
    """The fields of a status file of /proc."""
    lines = Path(path).read_text(errors="surrogateescape").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
