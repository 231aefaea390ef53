"""Names: of sessions and snapshots, which are given once, and of processes, wherever a PID may stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from execd.errors import Ambiguous, NotFound, UsageError
from execd.model.session import State

if TYPE_CHECKING:
    from fake_daemons import Daemon

# Targets are children of ours that run `sleep 60`.
PROCESS = "sleep"


def test_a_name_that_is_taken_is_refused_before_the_target_is_touched(daemon: Daemon) -> None:
    holder = daemon.attach(daemon.target(), name="night").sessions[0]
    other = daemon.target()
    with pytest.raises(UsageError, match=f"taken by session {holder.id}"):
        daemon.attach(other, name="night")
    assert other not in daemon.attacher.agents
    daemon.registry.stop(holder.id)
    assert daemon.attach(other, name="night").sessions[0].name == "night"


def test_a_name_that_cannot_be_one_is_refused_before_the_target_is_touched(daemon: Daemon) -> None:
    pid = daemon.target()
    with pytest.raises(UsageError):
        daemon.attach(pid, name="4711")
    assert pid not in daemon.attacher.agents


def test_the_name_of_a_process_means_its_sessions(daemon: Daemon) -> None:
    pid = daemon.target()
    session = daemon.attach(pid).sessions[0]
    assert daemon.registry.snapshot(PROCESS, "")[0].session == session.id
    assert daemon.registry.subjects.resolve_profile(PROCESS).reason == "checkpoint"
    (stopped,) = daemon.registry.stop(PROCESS)
    assert (stopped.id, stopped.state) == (session.id, State.STOPPED)
    assert daemon.registry.subjects.resolve_profile(PROCESS).id == stopped.latest_profile
    assert daemon.registry.detach(PROCESS).target.key.pid == pid
    assert daemon.registry.subjects.resolve_profile(PROCESS).id == stopped.latest_profile


def test_a_name_that_fits_several_attached_processes_lists_them(daemon: Daemon) -> None:
    pids = [daemon.target() for _ in range(2)]
    for pid in pids:
        daemon.attach(pid)
    acts = (daemon.registry.stop, daemon.registry.detach, daemon.registry.subjects.resolve_profile)
    for act in (*acts, lambda name: daemon.registry.snapshot(name, "")):
        with pytest.raises(Ambiguous, match=f"2 processes are called 'sleep': {pids[0]}, {pids[1]}"):
            act(PROCESS)
    for pid in pids:
        daemon.registry.stop(str(pid))
        daemon.registry.detach(str(pid))
    with pytest.raises(Ambiguous, match="2 processes"):
        daemon.registry.subjects.resolve_profile(PROCESS)


def test_a_session_that_runs_goes_before_a_process_of_its_name(daemon: Daemon) -> None:
    daemon.attach(daemon.target())
    named = daemon.attach(daemon.target(), name=PROCESS).sessions[0]
    assert daemon.registry.stop(PROCESS)[0].id == named.id


def test_a_stored_name_goes_before_a_part_of_a_command_line(daemon: Daemon) -> None:
    session = daemon.attach(daemon.target()).sessions[0]
    taken = daemon.registry.snapshot(session.id, PROCESS)[0]
    assert daemon.registry.subjects.resolve_profile(PROCESS).id == taken.id


def test_a_name_of_nothing_is_not_found(daemon: Daemon) -> None:
    daemon.attach(daemon.target())
    for act in (daemon.registry.stop, daemon.registry.detach, daemon.registry.subjects.resolve_profile):
        with pytest.raises(NotFound):
            act("no such thing")


def test_a_comparison_by_name_looks_into_its_own_session_first(daemon: Daemon) -> None:
    sessions = [daemon.attach(daemon.target()).sessions[0] for _ in range(2)]
    before = [daemon.registry.snapshot(session.id, "before")[0] for session in sessions]
    now = daemon.registry.snapshot(sessions[0].id, "")[0]
    assert daemon.registry.subjects.earlier_profile(now, "before").id == before[0].id
    assert daemon.store.stored("before").id == before[1].id


def test_what_is_compared_with_may_be_named_as_what_is_shown(daemon: Daemon) -> None:
    pid = daemon.target()
    earlier, later = (daemon.attach(one).sessions[0] for one in (pid, daemon.target()))
    taken = daemon.registry.snapshot(earlier.id, "before")[0]
    shown = daemon.registry.snapshot(later.id, "")[0]
    assert daemon.registry.subjects.earlier_profile(shown, taken.id) == taken
    assert daemon.registry.subjects.earlier_profile(shown, "before") == taken
    for word in (earlier.id, str(pid)):
        fresh = daemon.registry.subjects.earlier_profile(shown, word)
        assert (fresh.session, fresh.reason) == (earlier.id, "checkpoint")
    final = daemon.registry.stop(earlier.id)[0].latest_profile
    assert daemon.registry.subjects.earlier_profile(shown, earlier.id).id == final
    with pytest.raises(NotFound):
        daemon.registry.subjects.earlier_profile(shown, "no such thing")
