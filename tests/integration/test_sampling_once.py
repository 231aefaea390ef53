"""What is recorded all the time is recorded once: by its own name, among everyone, or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from execd.attach.scan import look_at
from execd.errors import CollectorRefused
from execd.model.session import SessionSpec, State
from execd.sessions import everyone, sampled_tree
from footprint import becomes
from sampled_sessions import LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Spawn
    from execd.sessions.registry import Registry
    from interpreters import Interpreter

KEPT = SessionSpec("samples", {"rate_hz": 20.0, "keep_s": 60.0, "stopping": "never"})
SAMPLED = SessionSpec("samples", {"rate_hz": 20.0, "stopping": "never"})


@pytest.fixture
def pids(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The only processes that there are for a recording of everyone."""
    there: set[int] = set()
    every: Callable[[int], Iterator[tuple[int, int, int, int]]] = everyone._programs  # noqa: SLF001
    monkeypatch.setattr(everyone, "LOOK_S", 0.0)
    monkeypatch.setattr(everyone, "_programs", lambda uid: (one for one in every(uid) if one[0] in there))
    return there


def recorded(registry: Registry, pid: int) -> list[str]:
    """The sessions that run on a process."""
    return [row.session.id for target, row in registry.samplings.running() if target.target.key.pid == pid]


@pytest.mark.usefixtures("pids")
def test_everyone_is_recorded_once_until_that_is_stopped(registry: Registry) -> None:
    group, sessions, _ = registry.record_all(KEPT, "nightly")
    assert sessions == []
    (opened,) = registry.samplings.open_groups({})
    assert (opened.id, opened.name, opened.spec) == (group, "nightly", KEPT)
    assert registry.samplings.open_groups({"env": "prod"}) == []
    with pytest.raises(CollectorRefused, match=f"every Python process is recorded already, by group {group}") as told:
        registry.record_all(KEPT, "")
    assert told.value.remedy == f"see it: execctl sessions; or end it first: execctl stop {group}"
    registry.stop(group)
    assert registry.samplings.open_groups({}) == []
    later, _, _ = registry.record_all(KEPT, "")
    assert later != group
    registry.stop(later)


def test_one_of_everyone_is_not_recorded_once_more_and_is_sampled_for_a_time_all_the_same(
    registry: Registry, spawn: Spawn, local_interpreter: Interpreter, pids: set[int]
) -> None:
    pid = spawn(local_interpreter, "sleeping").pid
    pids.add(pid)
    group, (session,), _ = registry.record_all(KEPT, "")
    with pytest.raises(CollectorRefused, match=f"process {pid} is recorded already, by session {session.id}") as told:
        registry.samplings.start(look_at(pid), [KEPT], "")
    assert f"execctl stop {session.id}" in told.value.remedy
    assert recorded(registry, pid) == [session.id]
    (beside,) = registry.samplings.start(look_at(pid), [SAMPLED], "")
    assert recorded(registry, pid) == [session.id, beside.id]
    registry.stop(beside.id)
    registry.stop(group)


def test_who_was_recorded_by_name_comes_to_everyone_when_that_has_ended(
    registry: Registry, spawn: Spawn, local_interpreter: Interpreter, pids: set[int]
) -> None:
    pid = spawn(local_interpreter, "sleeping").pid
    pids.add(pid)
    (named,) = registry.samplings.start(look_at(pid), [KEPT], "")
    group, sessions, notes = registry.record_all(KEPT, "")
    assert sessions == []
    assert notes == [f"process {pid} is recorded already, by session {named.id}"]
    # It is not given up after some looks, as one is that cannot be sampled.
    come = spawn(local_interpreter, "sleeping").pid
    pids.add(come)
    assert becomes(lambda: len(recorded(registry, come)) == 1, LIMIT_S)
    assert recorded(registry, pid) == [named.id]
    assert registry.stop(named.id)[0].state is State.STOPPED
    assert becomes(lambda: len(recorded(registry, pid)) == 1, LIMIT_S)
    registry.stop(group)


def test_a_tree_has_a_descendant_that_is_recorded_by_its_name_too(
    registry: Registry, spawn: Spawn, local_interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, child = (spawn(local_interpreter, "sleeping").pid for _ in range(2))
    monkeypatch.setattr(sampled_tree, "descendants", lambda roots: {child} if root in roots else set())
    registry.samplings.start(look_at(child), [KEPT], "")
    registry.samplings.start(look_at(root), [replace(KEPT, children=True)], "")
    assert becomes(lambda: len(recorded(registry, child)) == 2, LIMIT_S)
