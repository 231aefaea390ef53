"""Processes: those that a test run started, known by their ancestry or by a mark in their environment.

The mark finds what has left the tree: a daemon detaches itself from the test that started it.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "EXECD_TEST_RUN"
# As the kernel's stat names them: stopped by a signal, or by a tracer.
STOPPED = ("T", "t")
END_TIMEOUT_S = 3.0


def living_pids() -> frozenset[int]:
    """The PIDs of all processes of the machine; cheap enough for every test."""
    return frozenset(psutil.pids())


def started_since(earlier: frozenset[int]) -> set[psutil.Process]:
    """The processes that this one or a descendant of it started.

    Args:
        earlier: the PIDs that are left out, because they were there before.

    Returns:
        Those that live or are not reaped.
    """
    return {process for pid in living_pids() - earlier if (process := started_here(pid))}


def started_here(pid: int) -> psutil.Process | None:
    """The process of a PID, None where this run did not start it or it is gone."""
    try:
        return psutil.Process(pid) if is_marked(pid) or os.getpid() in ancestors(pid) else None
    except (OSError, psutil.Error):
        # Gone meanwhile, or another user's.
        return None


def ancestors(pid: int) -> Iterator[int]:
    """The PIDs of a process's parent, of that one's parent, and so on. Raises OSError where one is gone."""
    while pid:
        pid = int(stat(pid)[1])
        yield pid


def kernel_thread() -> int:
    """The PID of the thread that starts the kernel's others; in a PID namespace of its own a test sees none."""
    # kthreadd is the second that there is.
    if os.geteuid() != 0 or not psutil.pid_exists(2) or psutil.Process(2).name() != "kthreadd":
        pytest.skip("no thread of the kernel is to be seen, or may be looked at")
    return 2


def stat(pid: int) -> list[str]:
    """What the kernel's stat of a process says from its state on; its name before that may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text("utf-8", "surrogateescape").rpartition(")")[2].split()


def is_marked(pid: int) -> bool:
    """Whether a process inherited this run's mark."""
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    return f"{MARK}={os.getpid()}".encode() in environment.split(b"\0")


def left_over(before: frozenset[int], timeout_s: float = END_TIMEOUT_S) -> list[str]:
    """Waits for the end of what a test started; describes and kills what does not end.

    Args:
        before: the PIDs that were there before the test.
        timeout_s: how long the others may take to end.

    Returns:
        A line for each process that is left.
    """
    _, alive = psutil.wait_procs(list(started_since(before)), timeout=timeout_s)
    descriptions = [describe(process) for process in alive]
    for process in alive:
        process.kill()
    return descriptions


def stopped(earlier: frozenset[int]) -> list[str]:
    """Describes what this run started and what is stopped or in a tracing stop.

    Args:
        earlier: the PIDs that are left out.
    """
    # Few are stopped, and to ask whose a process is takes longer than all else of a test's check.
    suspects = (started_here(pid) for pid in living_pids() - earlier if is_stopped(pid))
    return [describe(process) for process in suspects if process]


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped; one that is gone is not."""
    try:
        return stat(pid)[0] in STOPPED
    except OSError:
        return False


def status(process: psutil.Process) -> str:
    """What the kernel says of a process, "gone" where it is gone."""
    try:
        return str(process.status())
    except psutil.NoSuchProcess:
        return "gone"


def describe(process: psutil.Process) -> str:
    """One line that tells a process from others."""
    try:
        command_line = " ".join(process.cmdline())
    except psutil.Error:
        command_line = ""
    return f"PID {process.pid} ({status(process)}): {command_line}"


@contextmanager
def running(*command: str) -> Iterator[int]:
    """A process that waits for the end of its stdin, once it has said a line."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        try:
            yield program.pid
        finally:
            program.kill()
