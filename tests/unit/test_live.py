"""How sessions end that nobody stopped: the target ends, the agent leaves, or answers with garbage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from execd.errors import AgentFailed, AgentSilent, ProfileCorrupt, StoreFull, TargetGone
from execd.model.session import SessionSpec, State
from execd.sessions.live import PING_TIMEOUT_S, REQUEST_TIMEOUT_S
from fake_agents import BrokenProtocol

if TYPE_CHECKING:
    from fake_daemons import Daemon


def test_a_target_that_is_lost_ends_its_sessions_with_the_reason(daemon: Daemon) -> None:
    pid = daemon.target()
    session = daemon.attach(pid).sessions[0]
    daemon.registry.lose(daemon.live(pid), AgentFailed("garbage"))
    stored = daemon.store.session(session.id)
    assert (stored.state, stored.reason) == (State.FAILED, "garbage")
    assert daemon.registry.attached_targets == 0
    (again,) = daemon.registry.stop(session.id)
    assert again == stored


def test_a_target_that_is_lost_twice_is_lost_once(daemon: Daemon) -> None:
    pid = daemon.target()
    session = daemon.attach(pid).sessions[0]
    live = daemon.live(pid)
    daemon.registry.lose(live, TargetGone("first"))
    daemon.registry.lose(live, AgentFailed("second"))
    assert daemon.store.session(session.id).reason == "first"


def test_a_target_that_is_lost_while_the_disk_is_full_is_forgotten_all_the_same(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise StoreFull("no space")

    pid = daemon.target()
    daemon.attach(pid)
    live = daemon.live(pid)
    with monkeypatch.context() as patched:
        patched.setattr(daemon.store, "save_session", full)
        daemon.registry.lose(live, TargetGone("ended"))
    assert daemon.registry.attached_targets == 0


def test_a_stop_on_a_target_that_ended_ends_the_session_as_target_gone(daemon: Daemon) -> None:
    pid = daemon.target()
    session = daemon.attach(pid).sessions[0]
    daemon.agent(pid).errors["stop"] = TargetGone("the link closed")
    daemon.end(pid)
    assert daemon.registry.stop(session.id)[0].state is State.TARGET_GONE


@pytest.mark.parametrize("says_something", [False, True])
def test_after_a_long_silence_others_are_waited_for_briefly_until_the_agent_says_something(
    daemon: Daemon, *, says_something: bool
) -> None:
    pid = daemon.target()
    session = daemon.attach(pid).sessions[0]
    agent = daemon.agent(pid)
    agent.errors["snapshot"] = AgentSilent("the process does not let it run now")
    with pytest.raises(AgentSilent):
        daemon.registry.snapshot(session.id, "")
    if says_something:
        daemon.attacher.channels[pid].theirs.send(b" ")
    daemon.registry.stop(session.id)
    assert agent.waits_s[-2:] == [REQUEST_TIMEOUT_S, REQUEST_TIMEOUT_S if says_something else PING_TIMEOUT_S]


def test_a_start_that_was_given_up_is_taken_back_when_the_agent_comes_to_it(daemon: Daemon) -> None:
    pid = daemon.target()
    daemon.attach(pid)
    agent = daemon.agent(pid)
    agent.errors["start"] = AgentSilent("the process does not let it run now")
    with pytest.raises(AgentSilent):
        daemon.registry.start(str(pid), [SessionSpec("lines", {})])
    assert [(what, arguments["session"]) for what, arguments in agent.asked[-2:]] == [
        ("start", "lines"),
        ("stop", "lines"),
    ]


@pytest.mark.parametrize("bulk", [b"", b"garbage", b"\xff" * 100])
def test_a_session_whose_table_is_corrupt_fails(daemon: Daemon, bulk: bytes) -> None:
    pid = daemon.target()
    session = daemon.attach(pid).sessions[0]
    daemon.agent(pid).bulk = bulk
    with pytest.raises(ProfileCorrupt):
        daemon.registry.snapshot(session.id, "")
    assert daemon.registry.stop(session.id)[0].state is State.FAILED
    assert daemon.registry.attached_targets == 1


def test_a_target_that_ends_ends_its_sessions_by_itself(daemon: Daemon) -> None:
    pid = daemon.target()
    session = daemon.attach(pid).sessions[0]
    daemon.end(pid)
    assert daemon.until_ended(session.id) is State.TARGET_GONE


def test_an_agent_that_leaves_ends_its_sessions_while_the_target_goes_on(daemon: Daemon) -> None:
    pid = daemon.target()
    session = daemon.attach(pid).sessions[0]
    daemon.attacher.channels[pid].theirs.close()
    assert daemon.until_ended(session.id) is State.FAILED
    assert "which goes on" in daemon.store.session(session.id).reason


@pytest.mark.parametrize("error", [BrokenProtocol("garbage"), TargetGone("closed")])
def test_a_link_that_breaks_in_a_request_does_not_end_the_watch_over_the_others(
    daemon: Daemon, error: AgentFailed
) -> None:
    """The channel closes itself then, before anybody has let go of the target: the pulse must outlive that."""
    broken, sound = daemon.target(), daemon.target()
    first, second = daemon.attach(broken).sessions[0], daemon.attach(sound).sessions[0]
    daemon.agent(broken).errors["snapshot"] = error
    with pytest.raises((AgentFailed, TargetGone)):
        daemon.registry.snapshot(first.id, "")
    # The pulse looks again, and finds a closed channel.
    daemon.attach(daemon.target(), ())
    assert daemon.until_ended(first.id) is State.FAILED
    daemon.end(sound)
    assert daemon.until_ended(second.id) is State.TARGET_GONE


def test_a_target_that_ends_in_the_midst_of_a_request_does_not_end_the_watch_over_the_others(daemon: Daemon) -> None:
    broken, sound = daemon.target(), daemon.target()
    first, second = daemon.attach(broken).sessions[0], daemon.attach(sound).sessions[0]
    agent = daemon.agent(broken)

    def end(operation: str) -> None:
        if operation == "snapshot":
            daemon.end(broken)
            daemon.live(broken).ended()

    agent.before = end
    agent.errors["snapshot"] = TargetGone("the link closed")
    with pytest.raises(TargetGone):
        daemon.registry.snapshot(first.id, "")
    assert daemon.until_ended(first.id) is State.TARGET_GONE
    daemon.end(sound)
    assert daemon.until_ended(second.id) is State.TARGET_GONE


def test_a_target_that_does_not_answer_for_a_while_is_not_lost(daemon: Daemon) -> None:
    pid = daemon.target()
    session = daemon.attach(pid).sessions[0]
    live, agent = daemon.live(pid), daemon.agent(pid)
    agent.errors["ping"] = AgentSilent("held")
    daemon.registry.beat(live)
    asked = len(agent.asked)
    # Nothing has come from it: it is not asked again.
    daemon.registry.beat(live)
    assert (live.silent, len(agent.asked)) == (True, asked)
    del agent.errors["ping"]
    daemon.attacher.channels[pid].theirs.send(b"something")
    daemon.registry.beat(live)
    assert not live.silent
    assert daemon.store.session(session.id).state is State.RUNNING


def test_a_reason_to_end_that_was_found_outside_of_a_beat_is_kept_until_the_next_one(daemon: Daemon) -> None:
    pid = daemon.target()
    session = daemon.attach(pid).sessions[0]
    live = daemon.live(pid)
    with live.lock:
        live.running[session.id].breach = "it took too much"
        live.ping()
    daemon.registry.beat(live)
    stored = daemon.store.session(session.id)
    assert (stored.state, stored.reason) == (State.STOPPED, "it took too much")
