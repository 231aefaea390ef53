"""What a recording costs is told of the program's CPU time: what the agent's thread takes is not in it."""

from __future__ import annotations

import os
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from execd.attach import process
from execd.errors import TargetGone
from execd.sessions.armed import Armed
from execd.sessions.overhead import gauge_of, process_cpu_ns, program_cpu_ns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execd.sessions.overhead import Gauge

BUSY_S = 0.2
TOLD: dict[str, object] = {"python": 10, "resumed": 0, "c": 0, "uncounted": 0}


class Thread:
    """Takes CPU time when it is told to, as the agent's does."""

    def __init__(self) -> None:
        self._turn, self._done, self._ends = threading.Semaphore(0), threading.Semaphore(0), False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._thread.native_id is not None
        self.number = self._thread.native_id

    def work(self) -> None:
        """Takes BUSY_S, and waits then: the kernel knows by then of all of it."""
        self._turn.release()
        self._done.acquire()
        time.sleep(0.02)

    def end(self) -> None:
        """Ends."""
        self._ends = True
        self._turn.release()
        self._thread.join()

    def _run(self) -> None:
        while self._turn.acquire() and not self._ends:
            end_s = time.thread_time() + BUSY_S
            while time.thread_time() < end_s:
                pass
            self._done.release()


@pytest.fixture
def thread() -> Iterator[Thread]:
    made = Thread()
    yield made
    made.end()


def gauge(agent: int | None) -> Gauge:
    armed = Armed("calls", "calls", {}, "python", (), set(), time.time())
    target: Any = SimpleNamespace(key=SimpleNamespace(pid=os.getpid()), python_version="3.13.0")
    found = gauge_of(armed, target, agent)
    assert found is not None
    return found


def told_cpu_s(found: Gauge, thread: Thread) -> float | None:
    """What the program took while a thread worked, as the gauge tells it."""
    time.sleep(0.06)
    thread.work()
    found.hear({"prices": {"python": 100.0, "resumed": 50.0}, "counts": TOLD})
    now = found.now()
    return None if now is None else now.cpu_ns / 1e9


def test_what_a_thread_took_is_left_out(thread: Thread) -> None:
    pid = os.getpid()
    before = process_cpu_ns(pid), program_cpu_ns(pid, thread.number), program_cpu_ns(pid, None)
    thread.work()
    after = process_cpu_ns(pid), program_cpu_ns(pid, thread.number), program_cpu_ns(pid, None)
    whole, program, unknown = ((now - then) / 1e9 for now, then in zip(after, before, strict=True))
    assert min(whole, unknown) >= BUSY_S
    assert whole - program == pytest.approx(BUSY_S, abs=0.02)


def test_of_a_recording_it_is_the_thread_that_the_agent_names(thread: Thread) -> None:
    named, unnamed = told_cpu_s(gauge(thread.number), thread), told_cpu_s(gauge(None), thread)
    assert named is not None
    assert unnamed is not None
    assert named < BUSY_S / 2
    assert unnamed >= BUSY_S


def test_where_that_thread_has_ended_nothing_is_told(thread: Thread) -> None:
    other = Thread()
    found = gauge(other.number)
    other.end()
    assert told_cpu_s(found, thread) is None


def test_a_thread_is_found_by_its_number_in_the_namespace(monkeypatch: pytest.MonkeyPatch, thread: Thread) -> None:
    pid = os.getpid()
    assert process.thread_of(pid, thread.number) == thread.number
    # Of another process, which nobody may stop or move for what this one says.
    assert process.thread_of(pid, os.getppid()) is None

    def inside(tid: int) -> list[int]:
        if tid == pid:
            return [tid, 1]
        if tid == thread.number:
            return [tid, 12]
        raise TargetGone(f"process {tid} has ended", pid=tid)

    monkeypatch.setattr(process, "inner_pids", inside)
    assert process.thread_of(pid, 12) == thread.number
    assert process.thread_of(pid, 1) == pid
    assert process.thread_of(pid, thread.number) is None
