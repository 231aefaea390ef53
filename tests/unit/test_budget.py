"""What measuring may cost a target, and what becomes of a session that costs more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from execd.errors import CollectorRefused
from execd.model.session import SessionSpec, State
from execd.sessions import live as lives
from execd.sessions.budget import (
    CPU_SHARE,
    CPU_WINDOW_S,
    DEFAULT_MEMORY_BYTES,
    CpuWindow,
    memory_breach,
    memory_budget,
)

if TYPE_CHECKING:
    from fake_daemons import Daemon

MIB = 1 << 20


@pytest.mark.parametrize(
    ("asked", "headroom", "allowed"),
    [
        (0, None, DEFAULT_MEMORY_BYTES),
        (64 * MIB, None, 64 * MIB),
        (0, 1024 * MIB, DEFAULT_MEMORY_BYTES),
        (0, 40 * MIB, 10 * MIB),
        (8 * MIB, 40 * MIB, 8 * MIB),
        (0, 0, 0),
    ],
)
def test_the_memory_budget_is_what_was_asked_for_and_no_more_than_a_quarter_of_the_headroom(
    asked: int, headroom: int | None, allowed: int
) -> None:
    assert memory_budget(asked, headroom) == allowed


def test_memory_is_a_breach_once_it_is_over_a_quarter_of_what_there_would_be_without_it() -> None:
    assert memory_breach(10 * MIB, None) == ""
    assert memory_breach(10 * MIB, 30 * MIB) == ""
    assert memory_breach(10 * MIB, 29 * MIB) == (
        "ended by its memory budget: 10.0 MiB were recorded in the target, whose limits leave 29.0 MiB"
    )


def test_cpu_time_is_a_breach_over_a_whole_window_only() -> None:
    window = CpuWindow(100.0)
    assert window.breach(100.0 + CPU_WINDOW_S / 2, int(2e9)) == ""
    assert window.breach(100.0 + CPU_WINDOW_S, 0) == (
        "ended by its CPU budget: the agent's thread took 20% of a core for 10 s"
    )
    allowed_ns = int(CPU_SHARE * CPU_WINDOW_S * 1e9)
    assert window.breach(100.0 + 2 * CPU_WINDOW_S, allowed_ns) == ""


def limit_memory(monkeypatch: pytest.MonkeyPatch, headroom_bytes: int) -> None:
    monkeypatch.setattr(lives, "memory_headroom", lambda _pid: headroom_bytes)


def test_a_collector_is_told_what_it_may_take(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, 40 * MIB)
    pid = daemon.target()
    session = daemon.attach(pid).sessions[0]
    (started,) = [arguments for operation, arguments in daemon.agent(pid).asked if operation == "start"]
    assert started["options"]["max_memory_bytes"] == 10 * MIB
    assert "records within 10240 KiB instead of 32768: a quarter of what the target's limits leave" in session.caveats


def test_a_target_with_no_room_is_refused(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, MIB // 2)
    with pytest.raises(CollectorRefused, match="leave no room to record in"):
        daemon.attach(daemon.target())


def test_a_session_that_takes_too_much_ends_with_what_it_has_and_says_so(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_memory(monkeypatch, 1024 * MIB)
    pid = daemon.target()
    session = daemon.attach(pid, [SessionSpec("calls", {})]).sessions[0]
    daemon.agent(pid).ping = {"memory_bytes": {"calls": 20 * MIB}, "cpu_ns": 1000}
    daemon.registry.beat(daemon.live(pid))
    assert daemon.store.session(session.id).state is State.RUNNING
    limit_memory(monkeypatch, 21 * MIB)
    daemon.registry.beat(daemon.live(pid))
    ended = daemon.store.session(session.id)
    assert (ended.state, ended.reason[:27]) == (State.STOPPED, "ended by its memory budget:")
    profile = daemon.store.load(ended.latest_profile)
    assert ended.reason in profile.header.caveats
    assert daemon.agent(pid).armed == {}
    assert daemon.registry.attached_targets == 1


@pytest.mark.parametrize("lie", [{"memory_bytes": 7}, {"memory_bytes": {"calls": "x"}, "cpu_ns": -1}, {"cpu_ns": []}])
def test_an_agent_that_tells_nonsense_of_itself_is_not_believed(daemon: Daemon, lie: dict[str, object]) -> None:
    pid = daemon.target()
    session = daemon.attach(pid).sessions[0]
    daemon.agent(pid).ping = lie
    daemon.registry.beat(daemon.live(pid))
    assert daemon.store.session(session.id).state is State.RUNNING
