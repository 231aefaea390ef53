"""The pulse: an idle daemon sleeps, and the end of a target is seen at once, not at the next beat."""

from __future__ import annotations

import subprocess
import threading
import time
from typing import TYPE_CHECKING, cast

import pytest
from execd.errors import AgentFailed, ExecdError, TargetGone
from execd.sessions import pulse as pulses
from execd.sessions.live import LiveTarget
from execd.sessions.pulse import Pulse
from fake_agents import FakeAttacher
from store_samples import a_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execd.model.target import TargetKey
    from execd.sessions.registry import Registry

WAIT_S = 10.0
# The issue's own limit for the end of a session after that of its target.
END_S = 2.0


class FakeRegistry:
    """Notes what the pulse tells."""

    def __init__(self) -> None:
        self.lives: list[LiveTarget] = []
        self.looks = 0
        self.beaten = threading.Event()
        self.lost: dict[int, ExecdError] = {}
        self.heard = threading.Event()

    def live_targets(self) -> list[LiveTarget]:
        self.looks += 1
        return [live for live in self.lives if not live.gone]

    def beat(self, _live: LiveTarget) -> None:
        self.beaten.set()

    def lose(self, live: LiveTarget, error: ExecdError) -> None:
        self.lost[live.link.pidfd] = error
        live.close()
        self.heard.set()


class Beating:
    """A pulse over targets that are children of ours."""

    def __init__(self) -> None:
        self.registry = FakeRegistry()
        self.attacher = FakeAttacher()
        self.pulse = Pulse(cast("Registry", self.registry))
        self.children: list[subprocess.Popen[bytes]] = []

    def add(self) -> LiveTarget:
        child = subprocess.Popen(["sleep", "60"])
        self.children.append(child)
        key = cast("TargetKey", type("Key", (), {"pid": child.pid}))
        live = LiveTarget(a_target(), self.attacher.attach(key, 1.0, lambda: False), time.time)
        self.registry.lives.append(live)
        self.pulse.look_again()
        return live

    def close(self) -> None:
        self.pulse.close()
        for live in self.registry.live_targets():
            live.close()
        for child in self.children:
            child.kill()
            child.wait()


@pytest.fixture
def beating() -> Iterator[Beating]:
    found = Beating()
    yield found
    found.close()


def test_the_end_of_a_process_is_told_at_once(beating: Beating) -> None:
    live = beating.add()
    began = time.monotonic()
    beating.children[0].kill()
    assert beating.registry.heard.wait(WAIT_S)
    assert time.monotonic() - began < END_S
    assert isinstance(next(iter(beating.registry.lost.values())), TargetGone)
    assert live.gone


def test_an_agent_that_hangs_up_is_told_at_once_as_what_it_is(beating: Beating) -> None:
    beating.add()
    beating.attacher.channels[beating.children[0].pid].theirs.close()
    assert beating.registry.heard.wait(WAIT_S)
    assert isinstance(next(iter(beating.registry.lost.values())), AgentFailed)


def test_what_an_agent_sends_unasked_is_no_end(beating: Beating, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulses, "IDLE_BEAT_S", 0.05)
    live = beating.add()
    beating.attacher.channels[beating.children[0].pid].theirs.send(b"unasked")
    assert beating.registry.beaten.wait(WAIT_S)
    assert not live.gone


def test_targets_are_beaten_by_the_clock(beating: Beating, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulses, "IDLE_BEAT_S", 0.02)
    beating.add()
    for _ in range(3):
        assert beating.registry.beaten.wait(WAIT_S)
        beating.registry.beaten.clear()


def test_with_nothing_attached_it_sleeps(beating: Beating, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulses, "IDLE_BEAT_S", 0.001)
    monkeypatch.setattr(pulses, "RECORDING_BEAT_S", 0.001)
    before = beating.registry.looks
    # The only measure of nothing: a time in which a pulse that beats would have looked a hundred times.
    threading.Event().wait(0.1)
    assert beating.registry.looks - before <= 2


def test_it_ends_when_it_is_told_to() -> None:
    pulse = Pulse(cast("Registry", FakeRegistry()))
    pulse.close()
    assert not any(thread.name == "execd-pulse" for thread in threading.enumerate())


def test_many_wake_ups_do_not_block(beating: Beating) -> None:
    for _ in range(100_000):
        beating.pulse.look_again()
    beating.add()
    beating.children[0].kill()
    assert beating.registry.heard.wait(WAIT_S)


def test_an_error_of_one_target_is_not_the_end_of_the_pulse(beating: Beating, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulses, "IDLE_BEAT_S", 0.01)
    beats: list[LiveTarget] = []

    def beat(live: LiveTarget) -> None:
        beats.append(live)
        if len(beats) >= 5:
            beating.registry.beaten.set()
        raise OSError("gone")

    monkeypatch.setattr(beating.registry, "beat", beat)
    beating.add()
    assert beating.registry.beaten.wait(WAIT_S)
