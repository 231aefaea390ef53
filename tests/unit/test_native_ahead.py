"""What the sampler reads before it knows that it needs it: where things have changed, it is not believed."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from execd.sampling.samples import SYSTEM_CALL, THREAD, Samples
from footprint import becomes
from sampled_worlds import FRAME, MARK, NATIVE_ID, NEXT, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execd import _sampler

FUTEX = 202
LIMIT_S = 10.0
LOOKS = 12
# The sampler takes a code object that it has looked at for the same one within each span of so many ns.
SAME_CODE_NS = 50_000_000
NOWHERE = 0x10


class Waiting:
    """A thread of ours that waits, and is woken to wait again."""

    def __init__(self) -> None:
        self._ends = False
        self._orders, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._thread.native_id is not None
        self.native_id = self._thread.native_id
        self._come_to_wait()

    def run(self) -> None:
        """Has it run, and wait again."""
        self._orders.release()
        self._done.acquire()
        self._come_to_wait()

    def end(self) -> None:
        """Ends it."""
        self._ends = True
        self._orders.release()
        self._thread.join()

    def _come_to_wait(self) -> None:
        call = Path(f"/proc/self/task/{self.native_id}/syscall")
        assert becomes(lambda: call.read_text().startswith(f"{FUTEX} "), LIMIT_S)

    def _run(self) -> None:
        while not self._ends:
            self._orders.acquire()
            self._done.release()


@contextmanager
def waiting() -> Iterator[Waiting]:
    """A thread that waits, and is there for as long."""
    thread = Waiting()
    try:
        yield thread
    finally:
        thread.end()


@pytest.fixture
def first() -> Iterator[Waiting]:
    with waiting() as thread:
        yield thread


@pytest.fixture
def second() -> Iterator[Waiting]:
    with waiting() as thread:
        yield thread


def met(sampler: _sampler.Sampler, turns: int = 1) -> Counter[tuple[int, int]]:
    """How often threads were met by some turns in code objects, by their numbers: these count them as they come."""
    for _ in range(turns):
        sampler.turn()
    given, samples = sampler.take(0, 0), Samples()
    assert given is not None
    samples.add(given)
    found = Counter[tuple[int, int]]()
    for (node, _), count in samples.counts.items():
        path = list(samples.path(node))
        (of,) = (one.where for one in path if one.code == THREAD)
        found.update({(of, one.code): count for one in path if one.code not in (THREAD, SYSTEM_CALL)})
    return found


def test_a_thread_that_moved_while_its_list_led_nowhere_is_looked_at(first: Waiting, second: Waiting) -> None:
    world = World(first.native_id)
    before, after, others = (world.stack([world.code()]) for _ in range(3))
    last = world.thread(0, others, second.native_id)
    state = world.thread(last, before)
    world.set(world.head, world.interpreter(state))
    with world.sampler() as sampler:
        assert met(sampler, 2) == {(first.native_id, 0): 2, (second.native_id, 1): 2}
        first.run()
        world.set(state + FRAME, after)
        world.set(state + NEXT, NOWHERE)
        assert met(sampler) == {}
        world.set(state + NEXT, last)
        assert met(sampler, LOOKS) == {(first.native_id, 2): LOOKS, (second.native_id, 1): LOOKS}


def test_a_thread_that_has_begun_is_not_told_as_the_one_that_started_it(first: Waiting, second: Waiting) -> None:
    world = World(first.native_id)
    starter = world.thread(0, world.stack([world.code()]))
    # Up to 3.11 it has its starter's number until then, and no frame.
    begun = world.thread(starter, 0)
    world.set(world.head, world.interpreter(begun))
    with world.sampler() as sampler:
        assert met(sampler, 2) == {(first.native_id, 0): 2}
        world.set(begun + FRAME, world.stack([world.code()]))
        world.set(begun + NATIVE_ID, second.native_id)
        assert met(sampler, LOOKS) == {(first.native_id, 0): LOOKS, (second.native_id, 1): LOOKS}


def test_a_code_object_that_is_made_where_an_expected_one_has_died_is_another_one(first: Waiting) -> None:
    world = World(first.native_id)
    dying, other = world.code(), world.code()
    frame = world.stack([dying])
    world.set(world.head, world.interpreter(world.thread(0, frame)))
    with world.sampler() as sampler:
        assert met(sampler) == {(first.native_id, 0): 1}
        time.sleep((SAME_CODE_NS - time.monotonic_ns() % SAME_CODE_NS) / 1e9)
        world.set(frame, other)
        first.run()
        assert met(sampler) == {(first.native_id, 1): 1}
        # Until now its memory was as it had been.
        world.set(dying + MARK, 1)
        world.set(frame, dying)
        first.run()
        assert met(sampler) == {(first.native_id, 2): 1}
