"""Who takes an agent out when its sessions have ended, once; and sessions that do not begin, or run no more."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from execd.errors import NotFound, StoreFull, StoreUnusable
from execd.model.session import State
from execd.sessions import live as lives
from fake_daemons import CALLS

if TYPE_CHECKING:
    from execd.model.attachment import Detachment
    from fake_daemons import Daemon

WAIT_S = 10.0


class AnnouncedLock:
    """A lock that tells of each who comes to wait for it."""

    def __init__(self, lock: threading.RLock) -> None:  # type: ignore[valid-type]
        self._lock = lock
        self.comers = threading.Semaphore(0)

    def __enter__(self) -> None:
        self.comers.release()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def recorded(daemon: Daemon, pid: int) -> None:
    """Record for a limited time, and stop before that as the client does."""
    attachment = daemon.registry.attach(str(pid), [CALLS], timeout_s=1.0, cancelled=lambda: False, duration_s=60.0)
    daemon.registry.stop(attachment.sessions[0].id)


def test_the_daemon_leaves_the_detach_to_the_client_and_what_stays_is_told(daemon: Daemon) -> None:
    pid = daemon.target()
    recorded(daemon, pid)
    daemon.registry.beat(daemon.live(pid))
    left = daemon.registry.detach(str(pid), unless_used=True)
    assert left.was_attached
    assert left.residue


def test_the_daemon_leaves_where_the_client_does_not(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = daemon.target()
    recorded(daemon, pid)
    live = daemon.live(pid)
    daemon.registry.beat(live)
    assert not live.gone
    monkeypatch.setattr(lives, "CLIENT_GRACE_S", 0.0)
    daemon.registry.beat(live)
    assert live.gone


def test_of_two_who_detach_at_once_one_leaves_and_neither_fails(daemon: Daemon) -> None:
    pid = daemon.target()
    daemon.attach(pid)
    live = daemon.live(pid)
    lock = live.lock
    live.lock = announced = AnnouncedLock(lock)
    done: list[Detachment] = []
    operators = [threading.Thread(target=lambda: done.append(daemon.registry.detach(str(pid)))) for _ in range(2)]
    with lock:
        for operator in operators:
            operator.start()
        assert all(announced.comers.acquire(timeout=WAIT_S) for _ in operators)
    for operator in operators:
        operator.join(WAIT_S)
    assert sorted(one.was_attached for one in done) == [False, True]


def test_an_attach_that_could_store_nothing_does_not_begin(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise StoreFull("no space")

    monkeypatch.setattr(daemon.store, "check_room", full)
    pid = daemon.target()
    with pytest.raises(StoreFull):
        daemon.attach(pid)
    assert daemon.registry.attached_targets == 0
    assert daemon.store.sessions() == []


def test_where_nothing_runs_the_latest_end_is_told(daemon: Daemon) -> None:
    pid = daemon.target()
    session = daemon.attach(pid).sessions[0].id
    daemon.registry.stop(session)
    for selector in ("", str(pid)):
        with pytest.raises(NotFound, match=rf"; the latest, {session}, has ended \(stopped\)") as caught:
            daemon.registry.snapshot(selector, "")
        assert f"execctl report {session}" in caught.value.remedy


def test_a_session_whose_profile_is_stored_has_not_failed_where_old_ones_stay(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unusable() -> None:
        raise StoreUnusable("a file was gone")

    session = daemon.attach(daemon.target()).sessions[0]
    monkeypatch.setattr(daemon.store, "expire", unusable)
    ended = daemon.registry.stop(session.id)[0]
    assert (ended.state, ended.reason) == (State.STOPPED, "")
    assert daemon.store.stored(ended.latest_profile).reason == "final"
