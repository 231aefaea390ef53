"""Samplers at work: many in one thread, which no process keeps from the others."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from execd import _sampler
from footprint import becomes, descriptors
from sampled_worlds import SEED, World
from withheld_pages import withheld_page

if TYPE_CHECKING:
    from collections.abc import Iterator

FAST_NS, SLOW_NS = 1_000_000, 20_000_000
MANY = 30
LIMIT_S = 20.0
# What the crowd calls its threads.
THREAD = "execd-sampler"


@pytest.fixture
def world() -> World:
    """One whose only thread is the main one."""
    made = World(os.getpid())
    made.set(made.head, made.interpreter(made.threads([made.stack([made.code()])])))
    return made


@pytest.fixture
def crowd() -> Iterator[_sampler.Crowd]:
    before = at_work()
    made = _sampler.Crowd()
    yield made
    del made
    assert becomes(lambda: at_work() == before, LIMIT_S)


def at_work() -> int:
    """How many threads of ours sample."""
    return sum(name_of(task) == THREAD for task in Path("/proc/self/task").iterdir())


def name_of(task: Path) -> str:
    """A thread's name, nothing where it has ended."""
    try:
        return (task / "comm").read_text().strip()
    except OSError:
        return ""


def turns(sampler: _sampler.Sampler) -> int:
    taken = sampler.take(0, 0)
    assert taken is not None
    return taken["figures"]["turns"]


def goes_on(sampler: _sampler.Sampler) -> bool:
    """Whether it takes turns."""
    before = turns(sampler)
    return becomes(lambda: turns(sampler) > before + 1, LIMIT_S)


def is_held_up(sampler: _sampler.Sampler) -> bool:
    """Whether a turn of it does not come to an end."""
    return becomes(lambda: sampler.take(0, 0) is None, LIMIT_S)


@contextmanager
def child(program: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that runs a program, and the first line that it writes."""
    command = [sys.executable, "-I", "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@contextmanager
def sampler_of(world: World, process: subprocess.Popen[str], **fields: int) -> Iterator[_sampler.Sampler]:
    """A sampler of a process in which nothing is as in the world."""
    pidfd = os.pidfd_open(process.pid)
    try:
        yield _sampler.Sampler(process.pid, pidfd, {**world.layout, **fields}, 1024, _sampler.STOP_NEVER, SEED)
    finally:
        os.close(pidfd)


def test_many_are_sampled_by_one_thread_and_a_fast_one_by_its_own(world: World, crowd: _sampler.Crowd) -> None:
    pidfds = [os.pidfd_open(os.getpid()) for _ in range(MANY)]
    layout = dict(world.layout)
    samplers = [_sampler.Sampler(os.getpid(), pidfd, layout, 1024, _sampler.STOP_NEVER, SEED) for pidfd in pidfds]
    with world.sampler() as fast:
        before = at_work()
        for one in samplers:
            crowd.add(one, SLOW_NS)
        assert all(map(goes_on, samplers))
        assert becomes(lambda: at_work() == before + 1, LIMIT_S)
        crowd.add(fast, FAST_NS)
        assert goes_on(fast)
        assert becomes(lambda: at_work() == before + 2, LIMIT_S)
        for one in (fast, *samplers[1:]):
            crowd.remove(one)
        assert goes_on(samplers[0])
        assert becomes(lambda: at_work() == before + 1, LIMIT_S)
        crowd.remove(samplers[0])
        assert becomes(lambda: at_work() == before, LIMIT_S)
        crowd.add(samplers[0], SLOW_NS)
        assert goes_on(samplers[0])
        crowd.remove(samplers[0])
    assert all(not select.select([pidfd], [], [], 0)[0] for pidfd in pidfds)
    for pidfd in pidfds:
        os.close(pidfd)


def test_one_that_is_removed_takes_no_more_turns(world: World, crowd: _sampler.Crowd) -> None:
    with world.sampler() as one, world.sampler() as other:
        for sampler in (one, other):
            crowd.add(sampler, SLOW_NS)
        assert goes_on(one)
        crowd.remove(one)
        taken = turns(one)
        assert goes_on(other)
        assert turns(one) == taken
        crowd.remove(one)
        crowd.remove(other)


def test_what_a_crowd_opens_it_closes(world: World) -> None:
    before = descriptors(os.getpid())
    for _ in range(3):
        crowd = _sampler.Crowd()
        with world.sampler() as sampler:
            crowd.add(sampler, SLOW_NS)
            assert goes_on(sampler)
            # With what is in it: its end ends the turns.
            del crowd
            taken = turns(sampler)
            time.sleep(5 * SLOW_NS / 1e9)
            assert turns(sampler) == taken
        del sampler
    assert descriptors(os.getpid()) == before


@pytest.mark.parametrize("interval_ns", [FAST_NS, SLOW_NS], ids=["alone", "with others"])
def test_the_end_of_a_process_is_told_and_others_go_on(world: World, crowd: _sampler.Crowd, interval_ns: int) -> None:
    with child("import sys; print(1, flush=True); sys.stdin.read()") as (process, _), world.sampler() as other:
        with sampler_of(world, process) as sampler:
            crowd.add(sampler, interval_ns)
            crowd.add(other, SLOW_NS)
            assert goes_on(sampler)
            assert sampler.end() is None
            began = time.monotonic()
            process.kill()
            assert becomes(lambda: sampler.end() is not None, LIMIT_S)
            end = sampler.end()
            assert end is not None
            assert end[0] == "ended"
            assert began <= end[1] <= time.monotonic()
            assert select.select([sampler.news()], [], [], 0)[0]
            assert goes_on(other)
            crowd.remove(sampler)
        crowd.remove(other)


@pytest.mark.parametrize("interval_ns", [FAST_NS, SLOW_NS], ids=["alone", "with others"])
def test_a_process_that_executes_another_program_is_replaced(
    world: World, crowd: _sampler.Crowd, interval_ns: int
) -> None:
    program = "import os, sys; print(1, flush=True); sys.stdin.readline(); os.execv('/bin/sleep', ['sleep', '1000'])"
    with child(program) as (process, _), sampler_of(world, process) as sampler:
        crowd.add(sampler, interval_ns)
        assert goes_on(sampler)
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert becomes(lambda: sampler.end() is not None, LIMIT_S)
        end = sampler.end()
        assert end is not None
        assert end[0] == "replaced"
        crowd.remove(sampler)


def test_a_process_whose_memory_does_not_come_keeps_nobody_waiting(world: World, crowd: _sampler.Crowd) -> None:
    slow, before = World(os.getpid()), at_work()

    def is_taken_over() -> bool:
        crowd.relieve()
        return at_work() == before + 2

    with world.sampler() as other, slow.sampler() as stuck:
        with withheld_page() as page:
            slow.set(slow.head, slow.interpreter(slow.threads([slow.frame(slow.code(), page)])))
            for sampler in (other, stuck):
                crowd.add(sampler, SLOW_NS)
            assert becomes(is_taken_over, LIMIT_S)
            assert goes_on(other)
            assert stuck.take(0, 0) is None
        # The page has come now.
        assert goes_on(stuck)
        for sampler in (other, stuck):
            crowd.remove(sampler)
    assert becomes(lambda: at_work() == before, LIMIT_S)


@pytest.mark.parametrize("interval_ns", [FAST_NS, SLOW_NS], ids=["alone", "with others"])
def test_one_whose_memory_does_not_come_is_removed_and_others_go_on(
    world: World, crowd: _sampler.Crowd, interval_ns: int
) -> None:
    slow, before = World(os.getpid()), at_work()
    with world.sampler() as other, slow.sampler() as stuck:
        with withheld_page() as page:
            slow.set(slow.head, slow.interpreter(slow.threads([slow.frame(slow.code(), page)])))
            crowd.add(other, SLOW_NS)
            crowd.add(stuck, interval_ns)
            assert is_held_up(stuck)
            # Nobody relieves: who removes it does.
            crowd.remove(stuck)
            assert goes_on(other)
            with pytest.raises(ValueError, match="it runs already"):
                crowd.add(stuck, interval_ns)
        # The page has come now: so the thread that was left behind ends, after the turn that it was at.
        assert becomes(lambda: at_work() == before + 1, LIMIT_S)
        assert turns(stuck) == 1
        assert goes_on(other)
        crowd.remove(other)


@pytest.mark.parametrize("interval_ns", [FAST_NS, SLOW_NS], ids=["alone", "with others"])
def test_a_crowd_ends_before_a_read_does(interval_ns: int) -> None:
    slow, crowd, before = World(os.getpid()), _sampler.Crowd(), at_work()
    with withheld_page() as page:
        with slow.sampler() as stuck:
            slow.set(slow.head, slow.interpreter(slow.threads([slow.frame(slow.code(), page)])))
            crowd.add(stuck, interval_ns)
            assert is_held_up(stuck)
            del crowd
        # What the thread is at stays for as long.
        del stuck
        assert at_work() == before + 1
    assert becomes(lambda: at_work() == before, LIMIT_S)
