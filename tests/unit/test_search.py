"""The search for descendants, and what is told of those that are missed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from execd.attach.descendants import descendants, has_memory, reads_path
from execd.errors import AgentFailed, TargetGone
from execd.sessions.missed import Missed
from execd.sessions.search import Search
from footprint import becomes

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_S = 20.0
WAIT = "import sys; print('ready', flush=True); sys.stdin.read()"
HEIRS_S = 3.0


@contextmanager
def child(*options: str, **variables: str) -> Iterator[int]:
    """An interpreter that waits."""
    command = [sys.executable, *options, "-c", WAIT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | variables) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == b"ready\n"
        yield one.pid


def found_due(search: Search, pid: int) -> bool:
    """Whether a process is to be attached to within a time that is far less than what it might take to come."""
    deadline = time.monotonic() + HEIRS_S / 2
    while time.monotonic() < deadline:
        if pid in search.due({os.getpid()}):
            return True
        time.sleep(search.pause_s)
    return False


def test_one_that_was_there_before_is_due_once() -> None:
    with child() as pid:
        search = Search(os.getpid(), 0.0)
        assert found_due(search, pid)
        assert pid not in search.due({os.getpid()})
        assert search.again(pid)
        assert found_due(search, pid)


def test_one_that_comes_by_itself_is_waited_for() -> None:
    search = Search(os.getpid(), HEIRS_S)
    search.due({os.getpid()})
    with child(PYTHONPATH=f"/proc/{os.getpid()}/fd/99") as pid:
        assert not found_due(search, pid)
        assert pid in descendants({os.getpid()})


def test_one_that_cannot_is_not_waited_for() -> None:
    search = Search(os.getpid(), HEIRS_S)
    search.due({os.getpid()})
    with child() as pid:
        assert found_due(search, pid)


@pytest.mark.parametrize(
    ("options", "reads"),
    [((), True), (("-B",), True), (("-W", "ignore", "-X", "utf8"), True), (("-I",), False), (("-BE",), False)],
)
def test_options_that_keep_an_interpreter_from_its_environment(options: tuple[str, ...], reads: bool) -> None:  # noqa: FBT001 -- a row of the table
    with child(*options, PYTHONPATH="/proc/1/fd/5:/elsewhere") as pid:
        assert reads_path(pid, b"/proc/1/fd/") == reads
        assert not reads_path(pid, b"/proc/2/fd/")


def test_a_zombie_executes_nothing() -> None:
    with child() as pid:
        assert has_memory(pid)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        assert becomes(lambda: not has_memory(ended.pid), TIMEOUT_S)
    assert not has_memory(ended.pid)


def test_each_that_is_missed_counts_once() -> None:
    missed = Missed()
    for _ in range(2):
        missed.add(7, AgentFailed("process 7 is busy"))
        missed.add(8, AgentFailed("process 8 is busy"))
    missed.add(9, TargetGone("process 9 has ended"))
    missed.add(10, TargetGone("process 10 has ended"))
    missed.drop(10)
    assert missed.notes() == (
        "2 of its descendants are not recorded: it is busy",
        "1 of its descendants are not recorded: ended before",
    )


def test_of_very_many_each_is_counted() -> None:
    missed = Missed()
    for pid in range(1, 10_001):
        missed.add(pid, TargetGone("it has ended"))
    assert missed.notes() == ("10000 of its descendants are not recorded: ended before",)
