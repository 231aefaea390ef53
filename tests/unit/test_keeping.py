"""How long profiles are kept: what a start says, what is written down, and what goes once an hour."""

from __future__ import annotations

import threading
from dataclasses import replace
from errno import EIO
from typing import TYPE_CHECKING, cast

import pytest
from execd import keeping
from execd.config import Config
from execd.errors import StoreFull, UsageError
from execd.model.retention import DAY_S, Retention
from execd.model.session import State
from execd.sessions.housekeeping import INTERVAL_S, Housekeeper, tidy
from execd.store.store import Store
from store_samples import STARTED_AT, a_profile, add_session

if TYPE_CHECKING:
    from pathlib import Path

WAIT_S = 10.0


def config(path: Path, days: float | None = None, size: int | None = None) -> Config:
    return Config(path, path / "s", days, size)


def test_without_a_word_it_is_30_days_and_2_gib(tmp_path: Path) -> None:
    assert keeping.decided(config(tmp_path)) == Retention(30 * 86_400.0, 2 << 30)


def test_what_a_start_said_holds_for_later_ones_that_say_nothing(tmp_path: Path) -> None:
    keeping.remember(tmp_path, keeping.decided(config(tmp_path, 90.5)))
    assert keeping.decided(config(tmp_path)) == Retention(90.5 * DAY_S, 2 << 30)
    keeping.remember(tmp_path, keeping.decided(config(tmp_path, None, 1 << 30)))
    assert keeping.decided(config(tmp_path)) == Retention(90.5 * DAY_S, 1 << 30)
    assert keeping.decided(config(tmp_path, 1.0)) == Retention(DAY_S, 1 << 30)
    assert [path.name for path in tmp_path.iterdir()] == ["keep.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"keep_days": "x", "keep_bytes": 1}', '{"keep_days": 1}', "\x00"])
def test_what_was_written_down_and_is_damaged_deletes_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "keep.json").write_text(text)
    for days, size in ((None, None), (1.0, None), (None, 1 << 30)):
        with pytest.raises(UsageError, match=r"keep\.json does not say"):
            keeping.decided(config(tmp_path, days, size))
    assert keeping.decided(config(tmp_path, 1.0, 1 << 30)) == Retention(DAY_S, 1 << 30)


def test_what_cannot_be_removed_does_not_fail_what_has_come(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def expire(self) -> list[str]:
            raise OSError(EIO, "broken")

    tidy(cast("Store", Broken()))
    assert caplog.messages == ["old profiles could not be removed"]


def test_days_and_sizes_are_written_as_people_write_them() -> None:
    assert [keeping.parse_days(text) for text in ("30", "0.5")] == [30.0, 0.5]
    assert [keeping.parse_size(text) for text in ("500MB", "1.5GiB", "2tb")] == [500 << 20, 3 << 29, 2 << 40]
    for wrong in ("", "0", "-1", "nan", "inf", "1e9", "ten"):
        with pytest.raises(ValueError):  # noqa: PT011 - any of float's, or ours
            keeping.parse_days(wrong)
    for wrong in ("", "5", "1KB", "9999TB", "GB", "-1GB"):
        with pytest.raises(ValueError):  # noqa: PT011 - any of ours
            keeping.parse_size(wrong)


class Clock:
    """Seconds since the epoch, and waits that only move it."""

    def __init__(self, waits: int) -> None:
        self.now = STARTED_AT
        self.waited: list[float] = []
        self.over = threading.Event()
        self._waits = waits

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        if len(self.waited) > self._waits:
            self.over.set()
            return True
        self.now += seconds
        return False


def test_what_is_too_old_goes_within_an_hour_though_no_session_ends(tmp_path: Path) -> None:
    clock = Clock(waits=3)
    store = Store.open(tmp_path, clock=clock, retention=Retention(max_age_s=1.5 * INTERVAL_S))
    running, ended = add_session(store), add_session(store)
    store.save_session(replace(ended, state=State.STOPPED))
    for session in (running, ended):
        store.add_profile(a_profile(), session=session.id, reason="snapshot")
    gone_at: list[float] = []
    expire = store.expire

    def watched() -> list[str]:
        gone = expire()
        gone_at.extend(clock.now - STARTED_AT for _ in gone)
        return gone

    store.expire = watched  # type: ignore[method-assign,assignment]
    housekeeper = Housekeeper(store, clock.wait)
    housekeeper.start()
    assert clock.over.wait(WAIT_S)
    housekeeper.close()
    assert (gone_at, clock.waited) == ([2 * INTERVAL_S], [INTERVAL_S] * 4)
    assert [one.session for one in store.stored_profiles()] == [running.id]
    store.close()


def test_the_size_that_was_said_holds_at_the_end_of_a_session(tmp_path: Path) -> None:
    store = Store.open(tmp_path, retention=Retention(max_bytes=1))
    session = add_session(store)
    store.save_session(replace(session, state=State.STOPPED))
    store.add_profile(a_profile(), session=session.id, reason="final")
    assert store.expire() == ["p1"]
    store.close()


def test_a_full_disk_does_not_end_the_housekeeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, tries = Clock(waits=2), list[int]()

    def full() -> list[str]:
        tries.append(1)
        raise StoreFull("no space")

    store = Store.open(tmp_path, clock=clock)
    monkeypatch.setattr(store, "expire", full)
    housekeeper = Housekeeper(store, clock.wait)
    housekeeper.start()
    assert clock.over.wait(WAIT_S)
    housekeeper.close()
    assert len(tries) == 3
    store.close()


def test_one_that_sleeps_ends_when_it_is_told_to(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    housekeeper = Housekeeper(store)
    housekeeper.start()
    housekeeper.close()
    assert not any(thread.name == "execd-housekeeping" for thread in threading.enumerate())
    store.close()
