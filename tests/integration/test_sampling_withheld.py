"""A process whose memory does not come: its recording ends like any other, and keeps no other one waiting."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
from execd import _sampler
from execd.attach.scan import look_at
from execd.model.session import SessionSpec, State
from execd.sampling.sampler import ProcessSampler
from execd.sessions.registry import Registry
from execd.sessions.samplings import BEAT_S
from execd.store.store import Store
from fake_agents import FakeAttacher
from footprint import becomes
from new_samples import has_new_samples
from sampled_worlds import World
from withheld_pages import withheld_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Spawn
    from execd.sessions.armed import Running
    from execd.sessions.sampled import SampledTarget
    from interpreters import Interpreter

SAMPLES = SessionSpec("samples", {"rate_hz": 20.0, "stopping": "never"})
LIMIT_S = 30.0


class Unrelieved:
    """A crowd that nobody has relieved yet: the looks come a moment after what the test does."""

    def __init__(self) -> None:
        crowd = _sampler.Crowd()
        self.add, self.remove = crowd.add, crowd.remove

    def relieve(self) -> None:
        """Come later."""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """One over a store of its own; nothing is attached to."""
    store = Store.open(tmp_path / "data")
    made = Registry(store, FakeAttacher(), time.time)  # type: ignore[arg-type]
    monkeypatch.setattr(made.samplings, "_crowd", Unrelieved())
    yield made
    made.close()
    store.close()


def begun(registry: Registry, pid: int) -> tuple[SampledTarget, Running]:
    registry.samplings.start(look_at(pid), [SAMPLES], "")
    return next(row for row in registry.samplings.running() if row[0].target.key.pid == pid)


def begun_at(registry: Registry, pid: int, native: _sampler.Sampler, monkeypatch: pytest.MonkeyPatch) -> Running:
    """Begins a recording of a process that takes what another sampler finds, and waits until that one is at it."""
    start: Callable[..., None] = ProcessSampler.start

    def started(sampler: ProcessSampler, *given: object) -> None:
        sampler._native = native  # noqa: SLF001
        start(sampler, *given)

    with monkeypatch.context() as patch:
        patch.setattr(ProcessSampler, "start", started)
        _, running = begun(registry, pid)
    assert becomes(lambda: native.take(0, 0) is None, LIMIT_S)
    return running


def stop(registry: Registry, running: Running) -> None:
    """Stops a session as an RPC does."""
    stopping = threading.Thread(target=registry.stop, args=(running.session.id,), daemon=True)
    stopping.start()
    stopping.join(LIMIT_S)
    assert not stopping.is_alive()


def be_over(registry: Registry, running: Running) -> None:
    """Lets a session end by itself."""
    del registry
    running.ends_at = time.monotonic()


@pytest.mark.parametrize("end", [stop, be_over])
def test_a_recording_of_what_does_not_come_ends_and_others_go_on(
    registry: Registry,
    spawn: Spawn,
    local_interpreter: Interpreter,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[Registry, Running], None],
) -> None:
    world = World(os.getpid())
    target, other = begun(registry, spawn(local_interpreter, "busy").pid)
    with withheld_page() as page, world.sampler() as native:
        world.set(world.head, world.interpreter(world.threads([world.frame(world.code(), page)])))
        stuck = begun_at(registry, spawn(local_interpreter, "sleeping").pid, native, monkeypatch)
        end(registry, stuck)
        assert has_new_samples(target, other)
        assert becomes(lambda: registry.session(stuck.session.id).ended, LIMIT_S)
        stop(registry, other)
        assert registry.session(other.session.id).state is State.STOPPED
    assert not registry.samplings.running()


def test_who_looks_passes_by_a_process_that_somebody_is_at(
    registry: Registry, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    kept, _ = begun(registry, spawn(local_interpreter, "sleeping").pid)
    target, running = begun(registry, spawn(local_interpreter, "busy").pid)
    with kept.looking:
        began = time.monotonic()
        # All are due at each beat, the first that came first.
        assert becomes(lambda: target.looked_at > began + 2 * BEAT_S, LIMIT_S)
        assert has_new_samples(target, running)
