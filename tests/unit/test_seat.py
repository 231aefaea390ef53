"""The agent's thread runs where the program computes while it measures, and where it did afterwards."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
from execd.attach import process
from execd.attach.seat import Seat, seat_of
from execd.errors import TargetGone

if TYPE_CHECKING:
    from collections.abc import Iterator

PID = os.getpid()
PROCESSORS = sorted(os.sched_getaffinity(0))


class Thread:
    """One of this process, on one processor where it is told to, which computes until it ends or waits."""

    def __init__(self, processor: int | None = None, *, busy: bool = False) -> None:
        self._processor, self._busy, self._ends, self._begun = processor, busy, threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._begun.wait()
        assert self._thread.native_id is not None
        self.number = self._thread.native_id

    def end(self) -> None:
        """Ends it."""
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        if self._processor is not None:
            os.sched_setaffinity(0, {self._processor})
        self._begun.set()
        while self._busy and not self._ends.is_set():
            sum(range(1000))
        self._ends.wait()


@pytest.fixture
def agent() -> Iterator[Thread]:
    made = Thread()
    yield made
    made.end()


@pytest.fixture(params=[PROCESSORS[0], PROCESSORS[-1]])
def busy(request: pytest.FixtureRequest) -> Iterator[Thread]:
    """Computes on one processor."""
    made = Thread(request.param, busy=True)
    yield made
    made.end()


def processors(thread: Thread) -> set[int]:
    return os.sched_getaffinity(thread.number)


def begun(agent: Thread) -> Seat:
    """A seat that has seen what threads had computed by now, and after which some have computed more."""
    seat = Seat(PID, agent.number)
    with seat.taken():
        pass
    time.sleep(0.2)
    return seat


def test_it_is_on_the_processor_of_the_thread_that_computes_most(agent: Thread, busy: Thread) -> None:
    seat, (usual,) = begun(agent), processors(busy)
    before = processors(agent)
    with seat.taken():
        assert processors(agent) == {usual}
    assert processors(agent) == before


def test_it_is_back_where_it_was_after_a_failure(agent: Thread, busy: Thread) -> None:
    seat, before = begun(agent), processors(agent)

    def fail() -> None:
        with seat.taken():
            assert processors(agent) == processors(busy)
            raise TargetGone("it has ended", pid=PID)

    with pytest.raises(TargetGone):
        fail()
    assert processors(agent) == before


@pytest.mark.skipif(len(PROCESSORS) < 2, reason="there is one processor")
def test_it_is_never_put_where_it_may_not_run() -> None:
    agent, busy = Thread(PROCESSORS[0]), Thread(PROCESSORS[-1], busy=True)
    seat = begun(agent)
    with seat.taken():
        assert processors(agent) == {PROCESSORS[0]}
    busy.end()
    agent.end()


@pytest.mark.usefixtures("busy")
def test_one_that_somebody_moves_meanwhile_is_not_moved_back(agent: Thread) -> None:
    seat = begun(agent)
    with seat.taken():
        (put,) = processors(agent)
        moved = {one for one in PROCESSORS if one != put} or {put}
        os.sched_setaffinity(agent.number, moved)
    assert processors(agent) == moved


@pytest.mark.usefixtures("busy")
def test_a_thread_that_has_its_number_by_then_is_not_touched(agent: Thread, monkeypatch: pytest.MonkeyPatch) -> None:
    seat = begun(agent)
    stat = f"/proc/{PID}/task/{agent.number}/stat"
    read_file = process.read_file

    def later(path: str) -> bytes:
        """What the kernel says of the agent's thread, as if it had begun a tick later."""
        head, bracket, rest = read_file(path).rpartition(b")")
        fields = rest.split()
        fields[19] = b"%d" % (int(fields[19]) + (path == stat))
        return head + bracket + b" " + b" ".join(fields)

    with seat.taken():
        put = processors(agent)
        monkeypatch.setattr(process, "read_file", later)
    assert processors(agent) == put


@pytest.mark.usefixtures("busy")
def test_beside_a_real_time_thread_it_is_not_put(agent: Thread, monkeypatch: pytest.MonkeyPatch) -> None:
    seat, before, read_file = begun(agent), processors(agent), process.read_file

    def real_time(path: str) -> bytes:
        """What the kernel says of any thread, as if it were one of SCHED_FIFO."""
        if not path.endswith("/stat"):
            return read_file(path)
        head, bracket, rest = read_file(path).rpartition(b")")
        fields = rest.split()
        fields[38] = b"%d" % os.SCHED_FIFO
        return head + bracket + b" " + b" ".join(fields)

    monkeypatch.setattr(process, "read_file", real_time)
    with seat.taken():
        assert processors(agent) == before


def test_where_none_has_computed_it_stays(agent: Thread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "used_ns", lambda _pid, _tid: 7)
    seat = begun(agent)
    before = processors(agent)
    with seat.taken():
        assert processors(agent) == before


def test_what_the_agent_computes_does_not_count(agent: Thread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "threads", lambda _pid: [agent.number])
    seat = begun(agent)
    before = processors(agent)
    with seat.taken():
        assert processors(agent) == before


@pytest.mark.usefixtures("busy")
def test_a_thread_of_another_process_is_not_touched() -> None:
    seat = Seat(PID, os.getppid())
    before = os.sched_getaffinity(os.getppid())
    for _ in range(2):
        with seat.taken():
            assert os.sched_getaffinity(os.getppid()) == before
        time.sleep(0.05)


@pytest.mark.usefixtures("busy")
def test_where_it_may_not_be_put_there_it_stays(agent: Thread, monkeypatch: pytest.MonkeyPatch) -> None:
    seat, before = begun(agent), processors(agent)

    def refuse(_tid: int, _processors: set[int]) -> None:
        raise PermissionError("another user's")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    entered = False
    with seat.taken():
        entered = True
    assert entered
    assert processors(agent) == before


def test_of_a_process_that_has_ended_nothing_is_done(monkeypatch: pytest.MonkeyPatch, agent: Thread) -> None:
    def ended(pid: int) -> list[int]:
        raise TargetGone(f"process {pid} has ended", pid=pid)

    seat, before = begun(agent), processors(agent)
    monkeypatch.setattr(process, "threads", ended)
    with seat.taken():
        assert processors(agent) == before


@pytest.mark.parametrize("named", [None, "7", True, 1.5, -1, 1 << 70])
def test_without_a_thread_there_is_no_seat(named: object) -> None:
    assert seat_of(PID, {"native_thread_id": named}) is None
    assert seat_of(PID, {}) is None
    assert seat_of(PID, {"native_thread_id": os.getppid()}) is None


def test_the_seat_is_of_the_thread_that_the_agent_names(agent: Thread) -> None:
    found = seat_of(PID, {"native_thread_id": agent.number})
    assert found is not None
    assert found.agent == agent.number
