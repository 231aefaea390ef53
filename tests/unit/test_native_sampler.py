"""The sampler on structs that were made for it: what it finds is known, and what lies is bounded."""

from __future__ import annotations

import os
import random
import struct
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from execd import _sampler
from execd.sampling.samples import SYSTEM_CALL, THREAD, TOO_DEEP, Samples
from footprint import becomes, descriptors
from sampled_worlds import CHUNK, CHUNK_TOP, FRAME_BYTES, MARK, NEXT, PREVIOUS, SEED, TYPE, WITH_CHUNKS, World

if TYPE_CHECKING:
    from collections.abc import Iterator

THREADS = 1000
INTERPRETERS = 64
STACK_DEPTH = 1024
FIRST_CODES = 256
LOST = ("unread", "torn", "no_code", "no_room")
COUNTED = ("unchanged", "verified", "unsettled")
FUTEX = 202


@contextmanager
def waiting_thread() -> Iterator[int]:
    """A thread of ours that waits, by the kernel's number."""
    gate = threading.Event()
    thread = threading.Thread(target=gate.wait)
    thread.start()
    try:
        assert thread.native_id is not None
        waits = Path(f"/proc/self/task/{thread.native_id}/syscall")
        assert becomes(lambda: waits.read_text().startswith(f"{FUTEX} "), 10.0)
        yield thread.native_id
    finally:
        gate.set()
        thread.join()


@pytest.fixture
def world() -> Iterator[World]:
    with waiting_thread() as native_id:
        yield World(native_id)


def taken(sampler: _sampler.Sampler) -> Samples:
    """All that a new sampler has."""
    samples = Samples()
    samples.add(everything(sampler))
    return samples


def everything(sampler: _sampler.Sampler) -> _sampler.Taken:
    """What it hands on to one who knows nothing yet."""
    given = sampler.take(0, 0)
    assert given is not None
    return given


def figures(sampler: _sampler.Sampler) -> dict[str, int]:
    return everything(sampler)["figures"]


def samples_of_a_turn(sampler: _sampler.Sampler) -> int:
    """How many samples one takes."""
    before = figures(sampler)["samples"]
    sampler.turn()
    return figures(sampler)["samples"] - before


def only_stack(samples: Samples) -> list[int]:
    """What the frames of the one stack that was counted are of, the outermost first."""
    ((node, _),) = samples.counts
    wait, *frames, thread = (one.code for one in samples.path(node))
    assert (wait, thread) == (SYSTEM_CALL, THREAD)
    return frames[::-1]


def assert_accounted(samples: Samples) -> None:
    """Each sample is counted, or lost for one reason."""
    figures = samples.figures
    assert samples.counts.total() == sum(figures[name] for name in COUNTED)
    assert figures["samples"] == sum(figures[name] for name in COUNTED + LOST)


def test_a_turn_takes_one_sample_of_each_thread(world: World) -> None:
    codes = [world.code() for _ in range(5)]
    world.set(world.head, world.interpreter(world.threads([world.stack(codes)])))
    with world.sampler() as sampler:
        sampler.turn()
        found = everything(sampler)
        samples = taken(sampler)
        sampler.turn()
        assert figures(sampler)["samples"] == 2
    assert [node.code for node in samples.nodes][:6] == [THREAD, 0, 1, 2, 3, 4]
    (counted,) = struct.iter_unpack("<6I", found["counts"])
    assert counted[1:] == (0, 0, 0, 0, 1)
    assert samples.nodes[counted[0]].where == FUTEX
    assert found["figures"]["turns"] == found["figures"]["verified"] == 1


@pytest.mark.parametrize("interval_ns", [1_000_000, 50_000_000], ids=["alone", "with others"])
def test_a_turn_is_refused_while_it_runs(world: World, interval_ns: int) -> None:
    with world.sampler() as sampler:
        crowd = _sampler.Crowd()
        crowd.add(sampler, interval_ns)
        try:
            assert becomes(lambda: figures(sampler)["turns"] > 0, 10.0)
            with pytest.raises(ValueError, match="runs already"):
                sampler.turn()
            with pytest.raises(ValueError, match="runs already"):
                crowd.add(sampler, interval_ns)
        finally:
            crowd.remove(sampler)
        sampler.turn()


@pytest.mark.parametrize("wrong", [{"stopping": 3}, {"stopping": -1}, {"pid": 0}, {"thread": -1}])
def test_what_makes_no_sense_is_refused(world: World, wrong: dict[str, int]) -> None:
    given = {"pid": os.getpid(), "pidfd": 0, "nodes_limit": 1024, "stopping": 0, "seed": 1}
    _sampler.Sampler(layout=world.layout, **given)
    with pytest.raises(ValueError, match="no such process, thread or way to stop"):
        _sampler.Sampler(layout=world.layout, **{**given, **wrong})


def test_one_thread_alone(world: World) -> None:
    stacks = [world.stack([world.code()]) for _ in range(2)]
    with waiting_thread() as native_id:
        world.set(world.head, world.interpreter(world.thread(world.threads(stacks[:1]), stacks[1], native_id)))
        with world.sampler(thread=native_id) as sampler:
            sampler.turn()
            samples = taken(sampler)
    assert {node.where for node in samples.nodes if node.code == THREAD} == {native_id}
    assert samples.figures["samples"] == samples.figures["verified"] == 1


def test_a_thread_state_without_a_thread_is_no_sample(world: World) -> None:
    same_thread = world.thread(world.threads([world.stack([world.code()])]), 0)
    not_begun = world.set(world.thread(0, 0), same_thread, 1, 0)
    world.set(world.head, world.interpreter(not_begun))
    with world.sampler() as sampler:
        sampler.turn()
        samples = taken(sampler)
    assert samples.figures["samples"] == samples.figures["verified"] == 1
    assert_accounted(samples)


def test_lists_that_go_round_are_no_lists_and_cost_no_descriptors(world: World) -> None:
    last = world.thread(0, world.stack([world.code()]))
    first = world.thread(world.thread(last, 0), 0)
    world.set(last + NEXT, first)
    interpreter = world.interpreter(first)
    world.set(world.head, interpreter)
    with world.sampler() as sampler:
        before = descriptors(os.getpid())
        sampler.turn()
        world.set(last + NEXT, 0)
        world.set(interpreter, interpreter)
        sampler.turn()
        told = figures(sampler)
        assert descriptors(os.getpid()) == before
        assert (told["unread_lists"], told["samples"]) == (2, 0)
        world.set(interpreter, 0)
        sampler.turn()
        assert figures(sampler)["verified"] == 1


def test_a_thread_that_runs_is_taken_from_the_list_at_once_and_one_that_waits_soon(world: World) -> None:
    with ExitStack() as waiting:
        numbers = [os.getpid(), *(waiting.enter_context(waiting_thread()) for _ in range(3))]
        last = world.thread(0, world.stack([world.code()]), numbers[1])
        waits = world.thread(last, world.stack([world.code()]), numbers[2])
        runs = world.thread(waits, world.stack([world.code()]), numbers[0])
        first = world.thread(runs, world.stack([world.code()]), numbers[3])
        world.set(world.head, world.interpreter(first))
        with world.sampler() as sampler:
            assert samples_of_a_turn(sampler) == samples_of_a_turn(sampler) == 4
            assert figures(sampler)["unchanged"] == 3
            # As it does itself when it ends.
            world.set(first + NEXT, waits)
            assert samples_of_a_turn(sampler) == 3
            # Nothing shows that this was done but the list itself.
            world.set(first + NEXT, last)
            assert becomes(lambda: samples_of_a_turn(sampler) == 2, 10.0)


def test_what_there_is_no_place_for_is_counted(world: World) -> None:
    many = world.interpreter(world.threads([0] * (THREADS + 500)))
    interpreter = many
    for _ in range(INTERPRETERS + 3):
        interpreter = world.interpreter(world.thread(0, 0), interpreter)
    with world.sampler(thread=1) as sampler:
        world.set(world.head, many)
        sampler.turn()
        assert figures(sampler)["threads_left_out"] == 500
        # The newest have their places; of what comes after them none has.
        world.set(world.head, interpreter)
        sampler.turn()
        assert figures(sampler)["threads_left_out"] == 3 + THREADS + 500


def test_the_last_of_a_thousand_threads_is_looked_at_each_turn(world: World) -> None:
    frame = world.stack([world.code()])
    last = world.thread(0, frame)
    first = last
    for _ in range(THREADS - 2):
        first = world.thread(first, frame)
    world.set(world.head, world.interpreter(first))
    with waiting_thread() as native_id, world.sampler(thread=native_id) as sampler:
        sampler.turn()
        assert figures(sampler)["samples"] == 0
        world.set(last + NEXT, world.thread(0, frame, native_id))
        sampler.turn()
        told = figures(sampler)
        assert (told["samples"], told["threads_left_out"]) == (1, 0)


def test_frames_that_go_round_are_torn(world: World) -> None:
    outermost = world.frame(world.code())
    innermost = world.frame(world.code(), world.frame(world.code(), outermost))
    world.set(outermost + PREVIOUS, innermost)
    world.set(world.head, world.interpreter(world.threads([innermost])))
    with world.sampler() as sampler:
        sampler.turn()
        samples = taken(sampler)
    assert samples.figures["torn"] == 1
    assert_accounted(samples)


@pytest.mark.parametrize("depth", [STACK_DEPTH, 3 * STACK_DEPTH])
def test_of_frames_far_apart_the_innermost_are_shown(world: World, depth: int) -> None:
    codes = [world.code() for _ in range(10)]
    stack = world.stack(codes[index % 10] for index in range(depth))
    world.set(world.head, world.interpreter(world.threads([stack])))
    with world.sampler() as sampler:
        sampler.turn()
        samples = taken(sampler)
    frames = only_stack(samples)
    if depth > STACK_DEPTH:
        assert frames.pop(0) == TOO_DEEP
    assert len(frames) == STACK_DEPTH
    assert samples.figures["verified"] == 1


def test_chunks_that_go_round_are_read_once_each(world: World) -> None:
    frame = world.stack([world.code() for _ in range(3)])
    chunk = world.make(4096)
    # Of the main thread, which is read anew each time, for it has run.
    thread = world.thread(0, frame, os.getpid())
    world.set(thread + CHUNK, chunk)
    world.set(world.head, world.interpreter(thread))
    with world.sampler(**WITH_CHUNKS) as sampler:
        for size in (4096, 0, 1 << 40, (1 << 64) - 1, 1 << 30):
            world.set(chunk, chunk, size)
            for top in (chunk + 64, 0, (1 << 64) - 1, chunk, chunk + (1 << 30)):
                world.set(thread + CHUNK_TOP, top)
                for _ in range(130):
                    sampler.turn()
        samples = taken(sampler)
    assert samples.figures["verified"] > samples.figures["unchanged"]
    assert_accounted(samples)


def test_a_full_table_of_code_objects_is_no_room(world: World) -> None:
    stack = world.stack(world.code() for _ in range(FIRST_CODES + 1))
    world.set(world.head, world.interpreter(world.threads([stack])))
    with world.sampler(nodes_limit=4 * FIRST_CODES) as sampler:
        sampler.turn()
        samples = taken(sampler)
        assert len(everything(sampler)["codes"]) == FIRST_CODES * _sampler.CODE_BYTES
    assert (samples.figures["no_room"], samples.figures["no_code"]) == (1, 0)
    assert_accounted(samples)


def test_what_is_no_code_object_is_lost(world: World) -> None:
    code = world.code()
    world.set(code + TYPE, 0)
    world.set(world.head, world.interpreter(world.threads([world.stack([world.code(), code])])))
    with world.sampler() as sampler:
        sampler.turn()
        samples = taken(sampler)
    assert (samples.figures["no_room"], samples.figures["no_code"]) == (0, 1)
    assert_accounted(samples)


def test_another_code_object_at_the_same_address_is_another_one(world: World) -> None:
    code = world.code()
    # Of the main thread, which is read anew each time, for it has run.
    world.set(world.head, world.interpreter(world.thread(0, world.stack([code]), os.getpid())))
    with world.sampler() as sampler:

        def met() -> int:
            sampler.turn()
            return len(everything(sampler)["codes"]) // _sampler.CODE_BYTES

        assert met() == 1
        world.set(code + MARK, 1)
        assert becomes(lambda: met() > 1, 10.0)
        assert met() == 2


def test_a_turn_ends_whatever_it_is_told_and_the_next_one_goes_on(world: World) -> None:
    # Frames in an order in which each search for one is long, of so many threads that a turn takes seconds.
    code = world.code()
    addresses = [world.make(FRAME_BYTES) for _ in range(STACK_DEPTH)]
    random.Random(SEED).shuffle(addresses)  # noqa: S311 -- the same disorder each time
    for address, caller in zip(addresses, [0, *addresses], strict=False):
        world.set(address, code, caller, 0)
    world.set(world.head, world.interpreter(world.threads([addresses[-1]] * THREADS)))
    with world.sampler() as sampler:
        turns = 0
        while figures(sampler)["samples"] < THREADS:
            sampler.turn()
            turns += 1
        told = figures(sampler)
    assert turns > 1
    assert told["put_off"] > 0
    assert told["samples"] + told["put_off"] == turns * THREADS


def test_counts_that_could_not_be_handed_on_are_there_the_next_time(world: World) -> None:
    testcapi = pytest.importorskip("_testcapi")
    world.set(world.head, world.interpreter(world.threads([world.stack([world.code() for _ in range(20)])])))
    with world.sampler() as sampler:
        for _ in range(3):
            sampler.turn()
        failures, result = 0, None
        while result is None:
            testcapi.set_nomemory(failures, failures + 1)
            try:
                result = sampler.take(0, 0)
            except MemoryError:
                failures += 1
            finally:
                testcapi.remove_mem_hooks()
    (counted,) = struct.iter_unpack("<6I", result["counts"])
    assert sum(counted[1:]) == 3
    # One for the bytes and the dict each, at least.
    assert failures > len(result)
