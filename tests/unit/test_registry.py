"""The registry over agents that answer by the book, or do not: what starts, what ends, and what is stored of it."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from execd.errors import (
    AgentFailed,
    Ambiguous,
    AttachTimeout,
    CollectorRefused,
    NotFound,
    NotSupported,
    StoreFull,
    TargetGone,
    UsageError,
)
from execd.model.session import SessionSpec, State
from execd.sessions import archive
from execd.sessions import live as lives
from fake_agents import BrokenProtocol
from fake_daemons import CALLS, LINES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fake_daemons import Daemon

PYTHON_CALLS = SessionSpec("calls", {"builtins": False})
STOPS = ["snapshot", "stop"]
WAIT_S = 10.0


def test_an_attach_starts_its_sessions_in_one_group(daemon: Daemon) -> None:
    attachment = daemon.attach(daemon.target(), (CALLS, LINES), name="night")
    assert [session.state for session in attachment.sessions] == [State.RUNNING] * 2
    assert len({session.group for session in attachment.sessions}) == 1
    assert [session.name for session in attachment.sessions] == ["night-calls", "night-lines"]
    assert (attachment.joined, attachment.stopped_us, attachment.method) == (False, 300, "pending call")
    assert attachment.target.python_version == "3.13.0"
    assert [daemon.store.session(session.id) for session in attachment.sessions] == list(attachment.sessions)


def test_an_attach_without_a_session_leaves_the_agent_there(daemon: Daemon) -> None:
    assert daemon.attach(daemon.target(), ()).sessions == ()
    assert (daemon.registry.attached_targets, daemon.registry.running_sessions) == (1, 0)


def test_an_attach_that_is_refused_leaves_nothing(daemon: Daemon) -> None:
    daemon.attacher.refusal = AttachTimeout("no safe point")
    with pytest.raises(AttachTimeout):
        daemon.attach(daemon.target())
    assert daemon.registry.attached_targets == 0
    assert daemon.store.sessions(running_only=False, limit=9) == []


def test_when_one_session_cannot_start_none_does_and_the_agent_leaves(daemon: Daemon) -> None:
    pid = daemon.target()
    with pytest.raises(NotSupported, match="'memory'"):
        daemon.attach(pid, (CALLS, SessionSpec("memory")))
    assert daemon.agent(pid).armed == {}
    assert daemon.agent(pid).operations()[-1] == "detach"
    assert daemon.registry.attached_targets == 0
    assert daemon.store.sessions(running_only=True, limit=9) == []


def test_when_one_session_cannot_start_those_that_ran_before_go_on(daemon: Daemon) -> None:
    pid = daemon.target()
    before = daemon.attach(pid, (LINES,)).sessions[0]
    with pytest.raises(NotSupported):
        daemon.attach(pid, (CALLS, SessionSpec("memory")))
    assert list(daemon.agent(pid).armed.values()) == ["lines"]
    assert [session.id for session in daemon.store.sessions(running_only=True, limit=9)] == [before.id]
    assert daemon.registry.attached_targets == 1


def test_a_collector_that_refuses_leaves_no_session_behind(daemon: Daemon) -> None:
    pid = daemon.target()
    daemon.agent(pid).errors["start"] = CollectorRefused("a profiler written in C is active")
    with pytest.raises(CollectorRefused):
        daemon.attach(pid)
    assert daemon.store.sessions(running_only=False, limit=9) == []


def test_a_second_attach_joins_the_agent(daemon: Daemon) -> None:
    pid = daemon.target()
    daemon.attach(pid, (LINES,))
    second = daemon.attach(pid, (CALLS,))
    assert second.joined
    assert second.stopped_us == 0
    assert daemon.attacher.attaches == 1


def test_a_session_of_the_same_options_shares_what_is_armed_and_has_its_own_baseline(daemon: Daemon) -> None:
    pid = daemon.target()
    first = daemon.attach(pid).sessions[0]
    daemon.agent(pid).calls = 100
    second = daemon.attach(pid).sessions[0]
    daemon.agent(pid).calls = 107
    assert daemon.agent(pid).operations().count("start") == 1
    calls = [
        list(daemon.store.load(daemon.registry.snapshot(session.id, "")[0].id).column("calls"))
        for session in (first, second)
    ]
    assert calls == [[107], [7]]


def test_the_collector_is_disarmed_when_the_last_session_of_it_stops(daemon: Daemon) -> None:
    pid = daemon.target()
    first, second = daemon.attach(pid).sessions[0], daemon.attach(pid).sessions[0]
    daemon.registry.stop(first.id)
    assert len(daemon.agent(pid).armed) == 1
    (stopped,) = daemon.registry.stop(second.id)
    assert stopped.state is State.STOPPED
    assert daemon.agent(pid).armed == {}
    assert daemon.agent(pid).operations()[-2:] == STOPS


def test_a_session_of_other_options_is_refused_naming_the_holder(daemon: Daemon) -> None:
    pid = daemon.target()
    holder = daemon.attach(pid).sessions[0]
    with pytest.raises(CollectorRefused, match=f"session {holder.id} records calls") as caught:
        daemon.attach(pid, (replace(PYTHON_CALLS, options={"builtins": False, "include": ["shop.*"]}),))
    assert caught.value.message.endswith(
        'with other options: builtins is true, false was asked for; include is not set, ["shop.*"] was asked for'
    )
    assert caught.value.facts["holder"] == holder.id
    assert daemon.registry.running_sessions == 1


def test_a_stop_stores_the_last_profile(daemon: Daemon) -> None:
    session = daemon.attach(daemon.target()).sessions[0]
    (stopped,) = daemon.registry.stop(session.id)
    stored = daemon.store.stored(stopped.latest_profile)
    assert (stored.reason, stored.session) == ("final", session.id)
    assert stopped.ended_at > stopped.started_at


def test_a_stop_is_idempotent(daemon: Daemon) -> None:
    session = daemon.attach(daemon.target(), name="night").sessions[0]
    first = daemon.registry.stop(session.id)
    assert daemon.registry.stop(session.id) == first
    assert daemon.registry.stop("night") == first


def test_two_operators_who_stop_one_session_both_see_it_stopped(daemon: Daemon) -> None:
    pid = daemon.target()
    session = daemon.attach(pid).sessions[0]
    stopping, go_on = threading.Event(), threading.Event()

    def hold(operation: str) -> None:
        if operation == "stop":
            stopping.set()
            assert go_on.wait(WAIT_S)

    daemon.agent(pid).before = hold
    states: list[State] = []
    operators = [
        threading.Thread(target=lambda: states.append(daemon.registry.stop(session.id)[0].state)) for _ in range(2)
    ]
    operators[0].start()
    assert stopping.wait(WAIT_S)
    with chosen(daemon) as second_has_chosen:
        operators[1].start()
        assert second_has_chosen.wait(WAIT_S)
    go_on.set()
    for operator in operators:
        operator.join(WAIT_S)
    assert states == [State.STOPPED] * 2
    assert daemon.store.session(session.id).state is State.STOPPED


@contextmanager
def chosen(daemon: Daemon) -> Iterator[threading.Event]:
    """Set an event once a call has chosen its sessions."""
    event, select = threading.Event(), daemon.registry._select  # noqa: SLF001 - the instant lies within a call

    def selecting(selector: str) -> object:
        rows = select(selector)
        event.set()
        return rows

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(daemon.registry, "_select", selecting)
        yield event


def test_a_detach_stops_everything_and_says_what_stays(daemon: Daemon) -> None:
    pid = daemon.target()
    daemon.attach(pid, (CALLS, LINES))
    detachment = daemon.registry.detach(str(pid))
    assert detachment.was_attached
    assert [session.state for session in detachment.sessions] == [State.STOPPED] * 2
    assert any("_ctypes" in line for line in detachment.residue)
    assert daemon.agent(pid).armed == {}
    assert daemon.registry.attached_targets == 0


def test_a_detach_is_idempotent(daemon: Daemon) -> None:
    pid = daemon.target()
    daemon.attach(pid)
    daemon.registry.detach(str(pid))
    again = daemon.registry.detach(str(pid))
    assert (again.was_attached, again.sessions, again.residue) == (False, (), ())


@pytest.mark.parametrize("error", [AgentFailed("silent"), BrokenProtocol("garbage"), TargetGone("closed")])
def test_a_detach_of_an_agent_that_does_not_answer_forgets_it(daemon: Daemon, error: AgentFailed) -> None:
    pid = daemon.target()
    daemon.attach(pid, ())
    daemon.agent(pid).errors["detach"] = error
    assert any("removes itself" in line for line in daemon.registry.detach(str(pid)).residue)
    assert daemon.registry.attached_targets == 0


def test_without_a_word_the_only_one_is_meant(daemon: Daemon) -> None:
    pid = daemon.target()
    session = daemon.attach(pid).sessions[0]
    assert daemon.registry.session("").id == session.id
    assert daemon.registry.snapshot("", "")[0].session == session.id
    assert daemon.registry.stop("")[0].id == session.id
    assert daemon.registry.detach("").target.key.pid == pid


def test_without_a_word_several_are_ambiguous_and_none_is_not_found(daemon: Daemon) -> None:
    for act in (daemon.registry.session, daemon.registry.stop, daemon.registry.detach):
        with pytest.raises(NotFound):
            act("")
    for _ in range(2):
        daemon.attach(daemon.target())
    for act in (daemon.registry.session, daemon.registry.stop, daemon.registry.detach):
        with pytest.raises(Ambiguous):
            act("")


def test_to_start_is_for_attached_targets_and_named_collectors(daemon: Daemon) -> None:
    pid = daemon.target()
    with pytest.raises(NotFound, match="no agent"):
        daemon.registry.start(str(pid), (CALLS,))
    daemon.attach(pid, ())
    with pytest.raises(UsageError):
        daemon.registry.start(str(pid), ())
    assert daemon.registry.start(str(pid), (CALLS,))[0].state is State.RUNNING


def test_a_pid_means_every_session_on_it(daemon: Daemon) -> None:
    pid = daemon.target()
    daemon.attach(pid, (CALLS, LINES))
    assert [row.name for row in daemon.registry.snapshot(str(pid), "noon")] == ["noon-calls", "noon-lines"]
    assert len(daemon.registry.stop(str(pid))) == 2
    with pytest.raises(NotFound, match="no session runs"):
        daemon.registry.snapshot(str(pid), "")


def test_prev_and_first_are_the_neighbours_in_time(daemon: Daemon) -> None:
    session = daemon.attach(daemon.target()).sessions[0]
    taken = [daemon.registry.snapshot(session.id, "")[0] for _ in range(3)]
    newest = daemon.registry.subjects.resolve_profile(taken[2].id)
    first = daemon.registry.subjects.earlier_profile(newest, "first")
    assert daemon.registry.subjects.earlier_profile(newest, "prev").id == taken[1].id
    assert int(first.id[1:]) <= int(taken[0].id[1:])
    assert daemon.registry.subjects.earlier_profile(newest, taken[0].id).id == taken[0].id
    with pytest.raises(NotFound, match="no snapshot earlier"):
        daemon.registry.subjects.earlier_profile(first, "prev")


def test_a_running_session_is_asked_for_a_fresh_profile(daemon: Daemon) -> None:
    pid = daemon.target()
    session = daemon.attach(pid, name="night").sessions[0]
    ids = [daemon.registry.subjects.resolve_profile(word).id for word in (session.id, str(pid), "night", "")]
    assert len(set(ids)) == 4
    (stopped,) = daemon.registry.stop(session.id)
    assert {daemon.registry.subjects.resolve_profile(word).id for word in (session.id, str(pid), "night", "")} == {
        stopped.latest_profile
    }


def test_of_nothing_there_is_no_profile(daemon: Daemon) -> None:
    for word in ("", "4711", "s7", "night", "p9"):
        with pytest.raises(NotFound):
            daemon.registry.subjects.resolve_profile(word)


def test_a_watch_ends_with_its_session(daemon: Daemon) -> None:
    session = daemon.attach(daemon.target()).sessions[0]
    watch = daemon.registry.watch(session.id, lambda: False)
    assert next(watch).state is State.RUNNING
    daemon.registry.stop(session.id)
    assert [seen.state for seen in watch] == [State.STOPPED]


def test_a_watch_ends_when_nobody_listens(daemon: Daemon) -> None:
    session = daemon.attach(daemon.target()).sessions[0]
    assert len(list(daemon.registry.watch(session.id, lambda: True))) == 1


def test_closing_stops_and_detaches_everything(daemon: Daemon) -> None:
    pids = [daemon.target() for _ in range(2)]
    sessions = [daemon.attach(pid).sessions[0] for pid in pids]
    daemon.registry.close()
    assert [daemon.store.session(session.id).state for session in sessions] == [State.STOPPED] * 2
    assert [daemon.agent(pid).operations()[-1] for pid in pids] == ["detach"] * 2
    assert daemon.registry.attached_targets == 0


def test_a_second_attach_with_the_same_options_takes_no_time_and_not_less(daemon: Daemon) -> None:
    pid = daemon.target()
    daemon.attach(pid)
    assert 0 <= daemon.attach(pid).attach_us < 60_000_000


def test_what_was_started_for_a_client_that_has_gone_is_ended(daemon: Daemon) -> None:
    pid = daemon.target()
    with pytest.raises(AttachTimeout, match="cancelled"):
        daemon.registry.attach(str(pid), [CALLS], timeout_s=1.0, cancelled=lambda: True)
    assert (daemon.registry.attached_targets, daemon.registry.running_sessions) == (0, 0)
    assert daemon.agent(pid).armed == {}


def attach_for(daemon: Daemon, pid: int, duration_s: float) -> str:
    """Attach as `--duration` does."""
    attachment = daemon.registry.attach(
        str(pid), [CALLS], timeout_s=1.0, cancelled=lambda: False, duration_s=duration_s
    )
    return attachment.sessions[0].id


def test_a_session_of_a_limited_time_ends_without_its_client_and_the_agent_leaves(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lives, "CLIENT_GRACE_S", 0.0)
    pid = daemon.target()
    session = attach_for(daemon, pid, 0.01)
    assert daemon.until_ended(session) is State.STOPPED
    assert daemon.store.session(session).latest_profile
    assert became(lambda: daemon.registry.attached_targets == 0)


def test_the_agent_stays_while_others_use_it(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "CLIENT_GRACE_S", 0.0)
    pid = daemon.target()
    session = attach_for(daemon, pid, 0.01)
    other = daemon.attach(pid).sessions[0]
    assert daemon.until_ended(session) is State.STOPPED
    daemon.registry.beat(daemon.live(pid))
    assert daemon.store.session(other.id).state is State.RUNNING
    left = daemon.registry.detach(str(pid), unless_used=True)
    assert (left.was_attached, left.sessions) == (True, ())
    assert daemon.store.session(other.id).state is State.RUNNING
    daemon.registry.stop(other.id)
    assert daemon.registry.detach(str(pid), unless_used=True).residue


def test_a_session_that_ended_while_the_disk_was_full_is_shown_so_and_stored_later(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise StoreFull("no space")

    pid = daemon.target()
    session = daemon.attach(pid).sessions[0]
    with monkeypatch.context() as patched:
        patched.setattr(daemon.store, "save_session", full)
        daemon.registry.lose(daemon.live(pid), TargetGone("ended"))
        assert daemon.registry.session(session.id).state is State.TARGET_GONE
        assert daemon.registry.sessions(running_only=True, limit=9) == []
        assert daemon.store.session(session.id).state is State.RUNNING
    assert daemon.registry.session(session.id).state is State.TARGET_GONE
    assert daemon.store.session(session.id).state is State.TARGET_GONE


def test_the_last_checkpoint_of_a_session_that_broke_off_says_what_is_missing(daemon: Daemon) -> None:
    pid = daemon.target()
    session = daemon.attach(pid).sessions[0]
    live = daemon.live(pid)
    live.running[session.id].checkpoint_due = 0.0
    daemon.registry.beat(live)
    daemon.registry.lose(live, TargetGone("ended"))
    profile = archive.load(daemon.store, archive.newest(daemon.store, session.id))
    assert "the last checkpoint of a session that ended at" in profile.header.caveats[0]
    assert "(target gone): its last" in profile.header.caveats[0]


def became(condition: Callable[[], bool]) -> bool:
    """Wait for what the pulse does."""
    deadline = time.monotonic() + WAIT_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()
