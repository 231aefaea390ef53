"""Processes that come to a recording while that is being stopped, and sessions that are gone with their end."""

from __future__ import annotations

import os
import subprocess
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from execd.attach.scan import look_at
from execd.model.session import SessionSpec, State
from execd.sampling.sampler import ProcessSampler
from execd.sessions import everyone, sampled_tree
from execd.sessions.sampled_tree import start_below
from execd.sessions.samplings import Samplings
from footprint import becomes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Spawn
    from execd.model.target import TargetKey
    from execd.sessions.registry import Registry
    from interpreters import Interpreter

SAMPLES = SessionSpec("samples", {"rate_hz": 20.0, "stopping": "never"})
LIMIT_S = 30.0
# How long a stop may go on while somebody comes, who is let in after that.
AHEAD_S = 0.5


class Door:
    """Keeps who comes to a recording waiting, from the second one on, until he is let in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.somebody, self.opened, self.entered = (threading.Event() for _ in range(3))
        self._came = 0
        self._start = Samplings.start
        monkeypatch.setattr(Samplings, "start", lambda *given, **rest: self.start(*given, **rest))

    def start(self, *given: Any, **rest: Any) -> Any:
        self._came += 1
        if self._came == 1:
            return self._start(*given, **rest)
        self.somebody.set()
        assert self.opened.wait(LIMIT_S)
        try:
            return self._start(*given, **rest)
        finally:
            self.entered.set()


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    return Door(monkeypatch)


def nothing_is_left(registry: Registry, door: Door, group: str) -> bool:
    """Whether no process is recorded after a stop that somebody came in the midst of."""
    assert door.somebody.wait(LIMIT_S)
    stopping = threading.Thread(target=registry.stop, args=(group,))
    stopping.start()
    stopping.join(AHEAD_S)
    door.opened.set()
    stopping.join(LIMIT_S)
    assert door.entered.wait(LIMIT_S)
    return becomes(lambda: not registry.samplings.running(), LIMIT_S)


@pytest.fixture
def pids(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The only processes that there are for a recording of everyone."""
    there: set[int] = set()
    every: Callable[[int], Iterator[tuple[int, int, int, int]]] = everyone._programs  # noqa: SLF001
    monkeypatch.setattr(everyone, "LOOK_S", 0.0)
    monkeypatch.setattr(everyone, "_programs", lambda uid: (one for one in every(uid) if one[0] in there))
    return there


def test_who_comes_while_a_recording_of_everyone_is_stopped_is_not_recorded(
    registry: Registry, spawn: Spawn, local_interpreter: Interpreter, door: Door, pids: set[int]
) -> None:
    pids.add(spawn(local_interpreter, "sleeping").pid)
    group, sessions, _ = registry.record_all(SAMPLES, "")
    assert {one.target.key.pid for one in sessions} == pids
    pids.add(spawn(local_interpreter, "sleeping").pid)
    assert nothing_is_left(registry, door, group)


def test_a_descendant_that_is_found_while_its_root_is_stopped_is_not_recorded(
    registry: Registry, spawn: Spawn, local_interpreter: Interpreter, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, child = (spawn(local_interpreter, "sleeping").pid for _ in range(2))
    monkeypatch.setattr(sampled_tree, "descendants", lambda roots: {child} if root in roots else set())
    (session,) = registry.samplings.start(look_at(root), [replace(SAMPLES, children=True)], "")
    assert nothing_is_left(registry, door, session.group)


def test_a_tree_that_is_sampled_again_has_its_descendants_again(
    registry: Registry, spawn: Spawn, local_interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, child = (spawn(local_interpreter, "sleeping").pid for _ in range(2))
    monkeypatch.setattr(sampled_tree, "descendants", lambda roots: {child} if root in roots else set())
    for _ in range(2):
        (session,) = registry.samplings.start(look_at(root), [replace(SAMPLES, children=True)], "")
        assert becomes(lambda: len(registry.samplings.running()) == 2, LIMIT_S)
        registry.stop(session.group)
        assert becomes(lambda: not registry.samplings.running(), LIMIT_S)


def test_of_a_descendant_that_is_a_zombie_the_log_tells_once(
    registry: Registry, spawn: Spawn, local_interpreter: Interpreter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "execd.sessions")
    (session,) = registry.samplings.start(look_at(spawn(local_interpreter, "sleeping").pid), [SAMPLES], "")
    (root,) = registry.samplings.all()
    tried: dict[tuple[str, TargetKey], int] = {}
    with subprocess.Popen(["true"]) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sampled_tree, "descendants", lambda _roots: {zombie.pid})
            for _ in range(20):
                start_below(registry.samplings, root, root.running[session.id], tried)
    told = [one for one in caplog.records if one.message == "a descendant is not sampled"]
    assert [one.__dict__["facts"]["pid"] for one in told] == [zombie.pid]


def test_who_watches_a_session_that_goes_with_its_process_is_told_of_that_end(
    registry: Registry, spawn: Spawn, local_interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_ended = threading.Event()
    monkeypatch.setattr(ProcessSampler, "start", lambda *_: None)
    monkeypatch.setattr(ProcessSampler, "ended", property(lambda _: has_ended.is_set()))
    target = look_at(spawn(local_interpreter, "sleeping").pid)
    (session,) = registry.samplings.start(target, [SAMPLES], "", goes_if_empty=True)
    told = registry.watch(session.id, lambda: False)
    assert next(told).state is State.RUNNING
    has_ended.set()
    last = list(told)[-1]
    assert (last.id, last.state) == (session.id, State.TARGET_GONE)
    assert last.reason == f"process {target.key.pid} has ended; none of its code was met, and nothing is kept"
    assert last.ended_at >= session.started_at
