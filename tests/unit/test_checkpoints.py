"""Checkpoints are made beside a target's lock: others get it meanwhile, and the end of a session stays its end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import fake_agents
import pytest
from execd.attach.channel import Reply
from execd.errors import NotFound
from execd.model.codec import encode
from execd.model.session import SessionSpec
from execd.sessions import archive, recorder
from fake_agents import FakeAgent
from fake_daemons import CALLS, LINES
from traces import batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from execd.model.profile import Profile
    from execd.model.stored import StoredProfile
    from fake_daemons import Daemon

LIMIT_S = 30.0
TRACE = SessionSpec("trace", {})


class Tracing(FakeAgent):
    """Has one more event at each look."""

    given = 0

    def answer(self, operation: str, arguments: dict[str, Any]) -> Reply:
        """Does what an agent does."""
        reply = super().answer(operation, arguments)
        if arguments.get("session") != "trace" or operation not in ("take", "stop"):
            return reply
        self.given = arguments.get("received", self.given)
        return Reply({"bulk": True}, batch([(self.given, 1, 0)], first=self.given))


@pytest.fixture(params=[CALLS, TRACE], ids=["table", "events"])
def session(request: pytest.FixtureRequest, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> str:
    """A session whose next checkpoint is due."""
    monkeypatch.setattr(fake_agents, "COLLECTORS", ("calls", "lines", "trace"))
    pid = daemon.target()
    daemon.attacher.agents[pid] = Tracing(calls=1)
    return daemon.attach(pid, (request.param,)).sessions[0].id


def while_packed(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> list[bool]:
    """Have another thread do something while a checkpoint is packed; whether it could."""
    done: list[bool] = []

    def packing(profile: Profile) -> bytes:
        other = threading.Thread(target=action, daemon=True)
        other.start()
        other.join(LIMIT_S)
        done.append(not other.is_alive())
        return encode(profile)

    monkeypatch.setattr(recorder, "encode", packing)
    return done


def beat(daemon: Daemon) -> None:
    (live,) = daemon.registry.live_targets()
    for running in live.running.values():
        running.checkpoint_due = 0.0
    daemon.registry.beat(live)


def reasons(daemon: Daemon, session: str) -> list[str]:
    return [row.reason for row in daemon.store.stored_profiles(session=session)]


def test_a_target_is_pinged_and_drained_while_its_checkpoint_is_packed(
    daemon: Daemon, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (live,) = daemon.registry.live_targets()

    def ask() -> None:
        with live.lock:
            live.ping()
            live.fetch_events()

    done = while_packed(monkeypatch, ask)
    beat(daemon)
    assert done == [True]
    assert reasons(daemon, session) == ["checkpoint"]
    assert len(daemon.store.load(daemon.store.session(session).latest_profile).parents) > 0


def test_a_session_that_ends_while_its_checkpoint_is_packed_keeps_its_last_profile(
    daemon: Daemon, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = while_packed(monkeypatch, lambda: daemon.registry.stop(session))
    beat(daemon)
    assert done == [True]
    assert reasons(daemon, session) == ["final"]


def test_a_snapshot_of_a_process_leaves_out_what_ends_meanwhile(
    daemon: Daemon, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (live,) = daemon.registry.live_targets()
    pid = str(live.target.key.pid)
    (other,) = daemon.registry.start(pid, (LINES,))
    done = while_packed(monkeypatch, lambda: daemon.registry.stop(session))
    assert [row.session for row in daemon.registry.snapshot(pid, "")] == [other.id]
    done_again = while_packed(monkeypatch, lambda: daemon.registry.stop(other.id))
    with pytest.raises(NotFound, match=f"session {other.id} has ended"):
        daemon.registry.snapshot(pid, "")
    assert (done, done_again) == ([True, True], [True])


def test_of_two_who_come_for_a_checkpoint_one_makes_it(
    daemon: Daemon, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (live,) = daemon.registry.live_targets()
    done = while_packed(monkeypatch, lambda: daemon.registry.beat(live))
    beat(daemon)
    assert done == [True]
    assert reasons(daemon, session) == ["checkpoint"]


def test_a_checkpoint_that_gave_its_place_to_the_next_before_it_was_read_is_found_again(
    daemon: Daemon, session: str
) -> None:
    found: list[str] = []

    def find() -> StoredProfile:
        stored = daemon.registry.subjects.resolve_profile(session)
        if not found:
            beat(daemon)
        found.append(stored.id)
        return stored

    stored, profile = archive.load_found(daemon.store, find)
    assert found == [found[0], stored.id]
    assert profile.header.profile == stored.id != found[0]


def test_a_profile_that_is_nowhere_is_looked_for_a_few_times(daemon: Daemon, session: str) -> None:
    gone = daemon.registry.subjects.resolve_profile(session)
    beat(daemon)
    found: list[StoredProfile] = []

    def find() -> StoredProfile:
        found.append(gone)
        return gone

    with pytest.raises(NotFound, match=f"there is no profile '{gone.id}'"):
        archive.load_found(daemon.store, find)
    assert len(found) == 3
