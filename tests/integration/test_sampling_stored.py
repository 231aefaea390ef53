"""What samplers met is stored beside their looks: a disk that takes its time keeps no look, and loses no end."""

from __future__ import annotations

import math
import os
import subprocess
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from execd.attach.scan import look_at
from execd.errors import NotFound, NotSupported, StoreFull, TargetGone
from execd.model.session import Session, SessionSpec, State
from execd.sampling.sampler import Crowd, ProcessSampler
from footprint import becomes
from held_disks import LIMIT_S, HeldDisk
from new_samples import has_new_samples
from processes import kernel_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conftest import Spawn
    from execd.model.profile import Profile
    from execd.model.stored import StoredProfile
    from execd.sessions.registry import Registry
    from execd.sessions.sampled import SampledTarget
    from execd.store.store import Store
    from interpreters import Interpreter
    from programs import Program

SAMPLES = SessionSpec("samples", {"rate_hz": 200.0, "stopping": "never"})
MANY, MOST_AT_ONCE = 12, 8


@pytest.fixture
def store(registry: Registry) -> Store:
    return registry._store  # noqa: SLF001


def begun(registry: Registry, pid: int) -> tuple[SampledTarget, str]:
    """A process that is sampled, and its session, which has samples."""
    (session,) = registry.samplings.start(look_at(pid), [SAMPLES], "")
    target = next(one for one in registry.samplings.all() if one.target.key.pid == pid)
    assert becomes(lambda: has_new_samples(target, *target.running.values()), LIMIT_S)
    return target, session.id


def reasons(store: Store, session: str) -> list[str]:
    return [row.reason for row in store.stored_profiles(session=session)]


def is_ended(registry: Registry, session: str, state: State) -> bool:
    return registry.session(session).state is state


def test_looks_go_on_while_the_disk_waits_and_every_end_is_told_after(
    registry: Registry, store: Store, spawn: Spawn, local_interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = HeldDisk(monkeypatch)
    (first, its_own), (second, others) = (begun(registry, spawn(local_interpreter, "busy").pid) for _ in range(2))
    for target in (first, second):
        for running in target.running.values():
            running.checkpoint_due = 0.0
    with disk.held():
        assert becomes(lambda: bool(disk.waiting), LIMIT_S)
        # Whichever of them is being stored: both are looked at.
        assert has_new_samples(first, *first.running.values())
        assert has_new_samples(second, *second.running.values())
        os.kill(second.target.key.pid, 9)
        assert becomes(lambda: second.over is not None, LIMIT_S)
        assert has_new_samples(first, *first.running.values())
        # One waits for all of them.
        assert set(disk.waiting) == {"execd-sampled"}
        assert len(disk.waiting) == 1
    assert becomes(lambda: is_ended(registry, others, State.TARGET_GONE), LIMIT_S)
    assert "has ended" in registry.session(others).reason
    assert reasons(store, others) == ["final"]
    assert is_ended(registry, its_own, State.RUNNING)
    assert becomes(lambda: reasons(store, its_own) == ["checkpoint"], LIMIT_S)


def test_another_session_is_stopped_while_one_is_being_stored(
    registry: Registry, store: Store, spawn: Spawn, local_interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, slow), (_, other) = (begun(registry, spawn(local_interpreter, "busy").pid) for _ in range(2))
    add, free, came = store.add_profile, threading.Event(), threading.Event()

    def adding(profile: Profile, *, session: str, **rest: object) -> StoredProfile:
        if session == slow:
            came.set()
            free.wait(LIMIT_S)
        return add(profile, session=session, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "add_profile", adding)
    next(iter(first.running.values())).checkpoint_due = 0.0
    try:
        assert came.wait(LIMIT_S)
        (stopped,) = registry.stop(other)
        assert has_new_samples(first, *first.running.values())
        assert not free.is_set()
    finally:
        free.set()
    assert stopped.state is State.STOPPED
    assert reasons(store, other) == ["final"]


def test_an_end_that_was_not_stored_is_stored_at_a_later_try(
    registry: Registry, store: Store, spawn: Spawn, local_interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, session = begun(registry, spawn(local_interpreter, "busy").pid)
    assert becomes(lambda: reasons(store, session) == ["checkpoint"], LIMIT_S)
    add, failed = store.add_profile, []

    def adding(profile: Profile, **rest: object) -> StoredProfile:
        if not failed:
            failed.append(profile)
            raise OSError("the disk is not there for a moment")
        return add(profile, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "add_profile", adding)
    os.kill(target.target.key.pid, 9)
    assert becomes(lambda: is_ended(registry, session, State.TARGET_GONE), LIMIT_S)
    assert failed
    assert reasons(store, session) == ["final"]


class Ends:
    """What a store is given at once: the sessions, and the samplers that were still at work then."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shares: list[int] = []
        self.at_work: list[ProcessSampler] = []
        self._begun: list[ProcessSampler] = []
        self.refuses = False
        self._end = store.end_sessions
        self._start = ProcessSampler.start
        monkeypatch.setattr(store, "end_sessions", self.end)
        monkeypatch.setattr(ProcessSampler, "start", lambda *given: self.start(*given))

    def start(self, sampler: ProcessSampler, crowd: Crowd, interval_ns: int) -> None:
        self._begun.append(sampler)
        self._start(sampler, crowd, interval_ns)

    def end(self, ends: Sequence[tuple[Session, Profile]]) -> None:
        self.at_work += [sampler for sampler in self._begun if not sampler.closed]
        if self.refuses:
            raise StoreFull("not all of these")
        self._end(ends)
        self.shares.append(len(ends))


@pytest.fixture
def programs(spawn: Spawn, local_interpreter: Interpreter) -> list[Program]:
    return [spawn(local_interpreter, "sleeping") for _ in range(MANY)]


def test_at_the_daemons_end_all_samplers_end_before_anything_is_stored_and_many_are_stored_at_once(
    registry: Registry, store: Store, programs: list[Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = Ends(store, monkeypatch)
    sessions = [registry.samplings.start(look_at(one.pid), [SAMPLES], "")[0].id for one in programs]
    registry.close()
    assert ends.at_work == []
    assert sum(ends.shares) == MANY
    assert len(ends.shares) <= MOST_AT_ONCE
    assert {store.session(one).state for one in sessions} == {State.STOPPED}
    assert [reasons(store, one) for one in sessions] == [["final"]] * MANY
    assert registry.samplings.all() == []


def test_where_they_cannot_be_stored_at_once_each_is_stored_by_itself(
    registry: Registry, store: Store, programs: list[Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = Ends(store, monkeypatch)
    ends.refuses = True
    sessions = [registry.samplings.start(look_at(one.pid), [SAMPLES], "")[0].id for one in programs]
    registry.close()
    assert {store.session(one).state for one in sessions} == {State.STOPPED}
    assert [reasons(store, one) for one in sessions] == [["final"]] * MANY


class Late:
    """Samplers whose processes end before the first look, at once or when they are let."""

    def __init__(self) -> None:
        self.is_over = True
        self.over_at = math.inf
        self._begun: list[ProcessSampler] = []

    def start(self, sampler: ProcessSampler) -> None:
        self._begun.append(sampler)
        if self.is_over:
            self.end()

    def end(self) -> None:
        self.over_at = time.monotonic()
        for sampler in self._begun:
            os.eventfd_write(sampler.news(), 1)


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Late:
    made = Late()
    monkeypatch.setattr(ProcessSampler, "start", lambda sampler, *_: made.start(sampler))
    monkeypatch.setattr(ProcessSampler, "over_at", property(lambda _: made.over_at))
    monkeypatch.setattr(ProcessSampler, "ended", property(lambda _: made.over_at < math.inf))
    return made


@pytest.mark.usefixtures("late")
def test_nothing_is_left_of_a_process_that_nobody_named_and_that_ended_before_the_first_look(
    registry: Registry, store: Store, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    target = look_at(spawn(local_interpreter, "busy").pid)
    (session,) = registry.samplings.start(target, [SAMPLES], "", goes_if_empty=True)

    def is_gone() -> bool:
        try:
            store.session(session.id)
        except NotFound:
            return True
        return False

    assert becomes(is_gone, LIMIT_S)
    assert store.stored_profiles() == []
    assert store.sessions() == []
    assert becomes(lambda: not registry.samplings.all(), LIMIT_S)


@pytest.mark.usefixtures("late")
def test_nothing_is_left_of_everyone_where_all_ended_before_the_first_look(
    registry: Registry, store: Store, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    program = spawn(local_interpreter, "busy")
    group, sessions, _ = registry.record_all(SAMPLES, "")
    assert program.pid in {one.target.key.pid for one in sessions}
    assert becomes(lambda: not store.sessions(), LIMIT_S)
    assert registry.stop(group) == []


def test_who_stops_a_session_that_has_just_gone_is_told_how_it_ended(
    registry: Registry, spawn: Spawn, local_interpreter: Interpreter, late: Late
) -> None:
    late.is_over = False
    target = look_at(spawn(local_interpreter, "busy").pid)
    registry.samplings.start(target, [SAMPLES], "", goes_if_empty=True)
    ((sampled, running),) = registry.samplings.running()
    late.end()
    assert becomes(lambda: not registry.samplings.running(), LIMIT_S)
    with sampled.lock:
        assert registry.recorder.stop(sampled, running).state is State.TARGET_GONE


@pytest.mark.usefixtures("late")
def test_of_a_process_that_was_named_the_session_says_that_it_has_nothing(
    registry: Registry, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    target = look_at(spawn(local_interpreter, "busy").pid)
    (session,) = registry.samplings.start(target, [SAMPLES], "")
    assert becomes(lambda: is_ended(registry, session.id, State.TARGET_GONE), LIMIT_S)
    reason = registry.session(session.id).reason
    assert reason.startswith(f"process {target.key.pid} has ended; none of its code was met in ")


def test_a_process_that_was_not_named_and_has_samples_stays(
    registry: Registry, store: Store, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    program = spawn(local_interpreter, "busy")
    (session,) = registry.samplings.start(look_at(program.pid), [SAMPLES], "", goes_if_empty=True)
    (target,) = registry.samplings.all()
    assert has_new_samples(target, *target.running.values())
    assert has_new_samples(target, *target.running.values())
    os.kill(program.pid, 9)
    assert becomes(lambda: is_ended(registry, session.id, State.TARGET_GONE), LIMIT_S)
    assert reasons(store, session.id) == ["final"]


def test_a_program_that_ended_or_executes_another_one_is_not_called_one_that_is_no_python(registry: Registry) -> None:
    with subprocess.Popen(["sleep", "60"]) as program:
        try:
            found = replace(look_at(program.pid), executable="/usr/bin/python3")
            with pytest.raises(TargetGone, match="executes another program now"):
                registry.samplings.start(found, [SAMPLES], "")
        finally:
            program.kill()
    with pytest.raises(TargetGone, match="ended before it was looked at"):
        registry.samplings.start(found, [SAMPLES], "")


def test_a_thread_of_the_kernel_is_not_told_as_ended(registry: Registry) -> None:
    with pytest.raises(NotSupported, match="it is a thread of the kernel"):
        registry.samplings.start(look_at(kernel_thread()), [SAMPLES], "")
