"""Sessions of a process that stands still: told why, at once, and nothing that it alone has is given up."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from execd.attach import process, waiting
from execd.errors import AgentSilent, ExecdError
from execd.model.session import State
from execd.sessions.live import REQUEST_TIMEOUT_S
from execd.sessions.standstill import why_still
from fake_daemons import CALLS, LINES
from footprint import becomes, state_letters

if TYPE_CHECKING:
    from fake_daemons import Daemon

STATE_S = 10.0
# Far from the 10 s that an answer is waited for, on a machine that has little time for us.
SOON_S = 6.0


def stop(pid: int) -> None:
    """Stops a process as Ctrl-Z does, and waits until it is."""
    os.kill(pid, signal.SIGSTOP)
    assert becomes(lambda: state_letters(pid) == {"T"}, STATE_S)


def go_on(pid: int) -> None:
    """Has it run again."""
    os.kill(pid, signal.SIGCONT)
    assert becomes(lambda: "T" not in state_letters(pid), STATE_S)


@pytest.mark.parametrize("way", ["stop", "detach"])
def test_what_a_stopped_process_alone_has_is_not_given_up(daemon: Daemon, way: str) -> None:
    pid = daemon.target()
    session = daemon.attach(pid).sessions[0].id
    agent = daemon.agent(pid)
    agent.calls = 7
    stop(pid)
    end = getattr(daemon.registry, way)
    with pytest.raises(AgentSilent, match=f"process {pid} is stopped by a signal") as told:
        end(str(pid))
    assert told.value.remedy == f"let it run, then repeat: kill -CONT {pid}"
    assert not {"stop", "detach"} & set(agent.operations())
    assert daemon.store.session(session).state is State.RUNNING
    go_on(pid)
    end(str(pid))
    assert daemon.store.session(session).state is State.STOPPED
    (final,) = [row for row in daemon.store.stored_profiles(session=session) if row.reason == "final"]
    assert sum(daemon.store.load(final.id).column("calls")) == agent.calls


def test_all_sessions_of_a_word_go_on_where_one_cannot_end(daemon: Daemon) -> None:
    pid = daemon.target()
    sessions = daemon.attach(pid, (CALLS, LINES)).sessions
    stop(pid)
    with pytest.raises(AgentSilent):
        daemon.registry.stop(str(pid))
    assert {daemon.store.session(one.id).state for one in sessions} == {State.RUNNING}
    go_on(pid)


def test_nothing_is_asked_of_a_process_that_is_stopped(daemon: Daemon) -> None:
    pid = daemon.target()
    daemon.attach(pid)
    stop(pid)
    began = time.monotonic()
    with pytest.raises(AgentSilent, match="stopped by a signal"):
        daemon.live(pid).request("snapshot", session="calls")
    assert time.monotonic() - began < SOON_S < REQUEST_TIMEOUT_S
    assert "snapshot" not in daemon.agent(pid).operations()
    go_on(pid)


def test_a_process_that_is_stopped_while_it_is_asked_is_named_as_stopped(daemon: Daemon) -> None:
    pid = daemon.target()
    daemon.attach(pid)
    agent = daemon.agent(pid)
    agent.before = lambda operation: stop(pid) if operation == "snapshot" else None
    agent.errors["snapshot"] = AgentSilent("the process does not let it run now")
    with pytest.raises(AgentSilent, match="stopped by a signal"):
        daemon.live(pid).request("snapshot", session="calls")
    go_on(pid)


def test_one_that_is_frozen_is_named_so(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = daemon.target()
    daemon.attach(pid)
    with monkeypatch.context() as frozen:
        frozen.setattr(waiting, "is_frozen", lambda _pid: True)
        with pytest.raises(AgentSilent, match=f"process {pid} is frozen by its cgroup") as told:
            daemon.registry.stop(str(pid))
    assert told.value.remedy == "thaw it (resume its container), then repeat"
    assert daemon.registry.stop(str(pid))[0].state is State.STOPPED


def test_what_stands_still_for_an_instant_is_waited_for(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = daemon.target()
    daemon.attach(pid)
    looks: list[int] = []

    def is_frozen(_pid: int) -> bool:
        looks.append(len(looks))
        return len(looks) < 3

    monkeypatch.setattr(waiting, "is_frozen", is_frozen)
    assert daemon.registry.stop(str(pid))[0].state is State.STOPPED
    assert len(looks) >= 3


def test_one_that_may_not_be_looked_at_is_asked(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(_pid: int) -> bool:
        raise ExecdError("not permitted")

    pid = daemon.target()
    daemon.attach(pid)
    monkeypatch.setattr(waiting, "is_frozen", hidden)
    assert daemon.registry.stop(str(pid))[0].state is State.STOPPED


def test_why_a_process_stands_still_is_told_as_long_as_it_does(daemon: Daemon) -> None:
    pid = daemon.target()
    assert why_still(pid) == ""
    stop(pid)
    assert why_still(pid) == f"process {pid} is stopped by a signal (state T: SIGSTOP, Ctrl-Z)"
    go_on(pid)
    assert why_still(pid) == ""


def test_what_a_sampler_of_ours_holds_for_an_instant_does_not_stand_still(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = daemon.target()
    held = replace(process.status(pid), state="t", tracer_pid=os.getpid())
    monkeypatch.setattr(process, "status", lambda _pid: held)
    assert why_still(pid) == ""
    held = replace(held, tracer_pid=os.getppid())
    assert why_still(pid) == f"process {pid} is stopped by the debugger that traces it (PID {os.getppid()})"
