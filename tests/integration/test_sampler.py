"""The sampler on programs whose possible stacks are known: none that is impossible, whether it stops them or not."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from execd import _sampler
from execd.attach import process
from execd.attach.interpreter import Finder
from execd.sampling.code_reader import CodeObject
from execd.sampling.native_layout import native_layout
from execd.sampling.sampler import ProcessSampler
from execd.sampling.samples import STATES, SYSTEM_CALL, THREAD, TOO_DEEP, UNSETTLED
from footprint import becomes, state_letters
from targets.alternating import CALLS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Spawn
    from execd.sampling.samples import Node, Samples
    from interpreters import Interpreter
    from programs import Program

INTERVAL_NS = 1_000_000
SAMPLE_S = 0.6
ENDED_S = 2.0
LEAST_TURNS = 200
WORDS = {THREAD: "(thread)", UNSETTLED: "(unsettled)", SYSTEM_CALL: "(system call)", TOO_DEEP: "(too deep)"}
NO_FRAME = ("(thread)", "(system call)")
# Where the main program and the threads of the standard library begin.
OUTER = {"<module>", "main", "_bootstrap", "_bootstrap_inner", "_context_run", "run", "reader", "serve", "commands"}
READ = 0


@contextmanager
def sampled(program: Program, stopping: int) -> Iterator[ProcessSampler]:
    """A sampler of a program, while it goes on."""
    found = Finder().find(program.pid, process.mappings(program.pid))
    sampler = ProcessSampler(program.pid, found, INTERVAL_NS, stopping)
    sampler.start()
    try:
        yield sampler
    finally:
        sampler.close()


def samples_of(program: Program, stopping: int) -> Samples:
    """What a while of sampling finds."""
    with sampled(program, stopping) as sampler:
        deadline = time.monotonic() + SAMPLE_S
        while time.monotonic() < deadline:
            sampler.drain()
            time.sleep(SAMPLE_S / 10)
        assert becomes(lambda: drained(sampler).figures["turns"] >= LEAST_TURNS, 10 * SAMPLE_S)
    return sampler.samples


def drained(sampler: ProcessSampler) -> Samples:
    sampler.drain()
    return sampler.samples


def name_of(samples: Samples, node: Node) -> str:
    if node.code in WORDS:
        return WORDS[node.code]
    code = samples.codes[node.code]
    return code.name if isinstance(code, CodeObject) else "(unreadable)"


def stacks(samples: Samples) -> Counter[tuple[str, ...]]:
    """The names of each stack, outermost first, and how often it was met."""
    found: Counter[tuple[str, ...]] = Counter()
    for (node, _), count in samples.counts.items():
        names = [name_of(samples, one) for one in samples.path(node)]
        found[tuple(reversed([name for name in names if name not in NO_FRAME]))] += count
    return found


def is_possible(stack: tuple[str, ...], calls: dict[str, set[str]]) -> bool:
    """Whether each frame may have been called by the one before it."""
    inner = [name for name in stack if name not in OUTER]
    return all("(unsettled)" in (above, below) or below in calls.get(above, ()) for above, below in pairwise(inner))


@pytest.mark.parametrize("stopping", [_sampler.STOP_ALWAYS, _sampler.STOP_NEVER], ids=["stopping", "never stopping"])
@pytest.mark.parametrize("kind", CALLS)
def test_no_stack_is_met_that_never_was(interpreter: Interpreter, spawn: Spawn, kind: str, stopping: int) -> None:
    program = spawn(interpreter, "alternating", kind)
    samples = samples_of(program, stopping)
    # What the program does before it works, and its threads that wait, call other functions.
    own = {kind, "spin", *CALLS[kind], *set().union(*CALLS[kind].values())}
    met = Counter({stack: count for stack, count in stacks(samples).items() if own.intersection(stack)})
    impossible = {stack: count for stack, count in met.items() if not is_possible(stack, CALLS[kind])}
    figures = samples.figures
    busy = met.total()
    # The target of DESIGN.md is 0.05%; so few samples may have one.
    assert sum(impossible.values()) <= 1 + busy // 1000, impossible
    assert "(unreadable)" not in {name for stack in met for name in stack}
    if stopping == _sampler.STOP_ALWAYS:
        lost = sum(figures[name] for name in ("torn", "no_code", "unread", "no_room"))
        # What could not be stopped is read as it runs.
        assert lost + figures["unsettled"] <= 3 * figures["stop_refused"] + busy // 50
        # About a half of it where that is least, nine tenths where it is most.
        assert 0.2 < sum(count for stack, count in met.items() if stack[-1] == "spin") / busy < 0.98, met
    else:
        assert figures["stopped"] == 0
    assert "t" not in state_letters(program.pid)
    assert program.stderr() == ""


@pytest.mark.parametrize("interpreter", ["3.9", "3.12", "3.15"], indirect=True)
def test_threads_that_wait_are_told_with_their_system_calls(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "alternating", "short")
    samples = samples_of(program, _sampler.STOP_AS_NEEDED)
    waits: Counter[int] = Counter()
    for (node, state), count in samples.counts.items():
        if samples.nodes[node].code == SYSTEM_CALL:
            assert STATES[state] in ("waiting", "waiting_with_gil")
            waits[samples.nodes[node].where] += count
    # A sleep is another call in every version.
    assert min(waits[READ], waits.total() - waits[READ]) >= LEAST_TURNS // 2, waits
    threads = {node.where for node in samples.nodes if node.code == THREAD}
    assert threads == {int(one.name) for one in Path(f"/proc/{program.pid}/task").iterdir()}
    # Those that wait are not read anew.
    assert samples.figures["unchanged"] >= samples.figures["turns"]


@pytest.mark.parametrize("interpreter", ["3.9", "3.12", "3.15"], indirect=True)
@pytest.mark.parametrize("stopping", [_sampler.STOP_ALWAYS, _sampler.STOP_NEVER], ids=["stopping", "never stopping"])
def test_a_sampler_ends_with_its_process(interpreter: Interpreter, spawn: Spawn, stopping: int) -> None:
    program = spawn(interpreter, "alternating", "recursive")
    with sampled(program, stopping) as sampler:
        assert becomes(lambda: drained(sampler).figures["turns"] > 0, SAMPLE_S * 10)
        os.kill(program.pid, signal.SIGKILL)
        assert becomes(lambda: sampler.ended, ENDED_S)
    program.wait()


def test_a_layout_that_leads_outside_is_refused(local_interpreter: Interpreter, spawn: Spawn) -> None:
    from execd.attach.layout import DEBUG_OFFSETS_SIZE  # noqa: PLC0415
    from execd.attach.memory import Memory  # noqa: PLC0415
    from execd.sampling.frame_layout import frame_layout_for  # noqa: PLC0415

    program = spawn(local_interpreter, "alternating")
    found = Finder().find(program.pid, process.mappings(program.pid))
    memory = Memory(program.pid)
    layout = frame_layout_for(found.version, memory.read(found.runtime, DEBUG_OFFSETS_SIZE))
    fields = native_layout(layout, found.runtime, 0)
    pidfd = os.pidfd_open(program.pid)
    try:
        for name in ("frame", "frame_code", "thread_size", "frame_size", "code_size", "mark_1", "frame_previous"):
            for wrong in (-8, 4096, 1 << 62):
                with pytest.raises(ValueError, match="outside of its struct"):
                    _sampler.Sampler(program.pid, pidfd, {**fields, name: wrong}, 1024, _sampler.STOP_NEVER, 1)
        with pytest.raises(KeyError):
            _sampler.Sampler(program.pid, pidfd, {}, 1024, _sampler.STOP_NEVER, 1)
    finally:
        os.close(pidfd)
