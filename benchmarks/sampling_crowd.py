"""What many processes that are recorded all the time cost their daemon."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING, Final

from sampling_targets import target

from daemons import Daemon  # isort: skip - of the tests, found by the line before

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from interpreters import Interpreter
    from programs import ProgramFolders

PROGRAM: Final = "calm"
RATE_HZ: Final = 20.0
KEEP_S: Final = 900.0
LOOKS: Final = 10
# Every process has been attached to, and its code objects have been read.
SETTLED_S: Final = 5.0
PAGE_KIB: Final = os.sysconf("SC_PAGESIZE") // 1024


@dataclass(frozen=True, slots=True)
class Use:
    """What a process has used at a moment.

    Attributes:
        at_s: since the first.
        cpu_s: until then.
        resident_kib: at the time.
    """

    at_s: float
    cpu_s: float
    resident_kib: int


def cpu_s(pid: int) -> float:
    """Return the CPU time of another process, in seconds, by the clock that the kernel has for each PID."""
    return time.clock_gettime(~pid << 3 | 2)


def resident_kib(pid: int) -> int:
    """Return its resident memory."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123 - so often that it is to be cheap
        return int(file.read().split()[1]) * PAGE_KIB


def crowd(folders: ProgramFolders, pythons: Sequence[Interpreter], count: int, seconds: float) -> Iterator[Use]:
    """Record so many processes for so long, and look at the daemon at LOOKS moments and the first.

    Args:
        folders: where programs are.
        pythons: which run them, in turn.
        count: of processes.
        seconds: from the first look to the last.
    """
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(Daemon())
        client = stack.enter_context(daemon.client())
        for python in islice(cycle(pythons), count):
            program = stack.enter_context(target(folders, python, PROGRAM))
            client.attach(program.pid, sample=True, rate_hz=RATE_HZ, keep_s=KEEP_S)
        time.sleep(SETTLED_S)
        pid, began = daemon.process.pid, time.monotonic()
        for look in range(LOOKS + 1):
            time.sleep(max(0.0, began + look * seconds / LOOKS - time.monotonic()))
            yield Use(time.monotonic() - began, cpu_s(pid), resident_kib(pid))


def cpu_percent(before: Use, after: Use) -> float:
    """Return what share of a core was used between two moments."""
    return 100 * (after.cpu_s - before.cpu_s) / (after.at_s - before.at_s)


def slope_kib_a_minute(uses: Sequence[Use]) -> float:
    """Return by how much memory grows, by least squares over the later half."""
    later = uses[len(uses) // 2 :]
    middle_s = sum(use.at_s for use in later) / len(later)
    middle_kib = sum(use.resident_kib for use in later) / len(later)
    both = sum((use.at_s - middle_s) * (use.resident_kib - middle_kib) for use in later)
    return 60 * both / sum((use.at_s - middle_s) ** 2 for use in later)
