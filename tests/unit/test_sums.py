"""Sums that are stored: what they are of, how they grow by session after session, and what does not fit."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
from execd.errors import StoreFull, TargetGone, UsageError
from execd.model.merge import merge
from execd.model.origins import origins_of
from execd.model.profile import MERGED, Label
from execd.model.session import SessionSpec, State
from execd.model.source import SourceFile
from execd.reports import ReportOptions, render
from execd.rpc.profiles import ProfilesServicer
from execd.sessions import archive, sums
from execd.sessions.registry import Registry
from execd.store.store import Store
from execd_api.v1.profiles_pb2 import MergeRequest
from fake_daemons import CALLS, LINES
from store_samples import a_profile, add_session

if TYPE_CHECKING:
    from pathlib import Path

    from execd.model.profile import Profile
    from execd.model.stored import StoredProfile
    from fake_daemons import Daemon

INTO = replace(CALLS, into="nightly")


def run(daemon: Daemon, calls: int, spec: SessionSpec = INTO) -> str:
    """A session on a new target, in which so many calls were made, from its start to its end."""
    pid = daemon.target()
    session = daemon.attach(pid, (spec,)).sessions[0]
    daemon.agent(pid).calls = calls
    daemon.registry.stop(session.id)
    return session.id


def calls(profile: Profile) -> int:
    return sum(profile.column("calls"))


def test_session_after_session_is_added_and_each_keeps_its_own(daemon: Daemon) -> None:
    sessions = [run(daemon, number) for number in (5, 7, 11)]
    stored = daemon.store.stored("nightly")
    profile = daemon.store.load(stored.id)
    assert (calls(profile), stored.reason, stored.pid) == (23, MERGED, 0)
    assert [one.session for one in origins_of(profile.header)] == sessions
    assert [calls(daemon.store.load(daemon.store.session(one).latest_profile)) for one in sessions] == [5, 7, 11]
    assert [one.id for one in daemon.store.stored_profiles() if one.name == "nightly"] == [stored.id]
    # Of one run or a thousand: no more nodes than the program has stacks.
    assert (len(profile.parents), set(profile.labels)) == (1, {Label(0, "", 0)})
    session = daemon.store.session(stored.session)
    assert (session.form, session.state) == (MERGED, State.STOPPED)
    text = render(profile, "text", ReportOptions()).decode()
    assert "Sum of: 3 profiles" in text
    assert all(f"session {one}" in text for one in sessions)


def test_two_that_end_at_once_are_both_added(daemon: Daemon) -> None:
    pids = [daemon.target() for _ in range(6)]
    for pid in pids:
        daemon.attach(pid, (INTO,))
        daemon.agent(pid).calls = 10
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(daemon.registry.stop, map(str, pids)))
    assert calls(daemon.store.load("nightly")) == 60
    assert len(daemon.store.stored_profiles(limit=99)) == 7


def test_a_session_is_added_once(daemon: Daemon) -> None:
    session = run(daemon, 5)
    run(daemon, 6)
    assert sums.add(daemon.store, daemon.store.session(session)) == ""
    assert calls(daemon.store.load("nightly")) == 11


def test_the_last_checkpoint_of_one_that_broke_off_is_added_and_says_so(daemon: Daemon) -> None:
    pid = daemon.target()
    session = daemon.attach(pid, (INTO,)).sessions[0]
    live = daemon.live(pid)
    daemon.agent(pid).calls = 3
    live.running[session.id].checkpoint_due = 0.0
    daemon.registry.beat(live)
    daemon.registry.lose(live, TargetGone("ended"))
    profile = archive.load(daemon.store, daemon.store.stored("nightly"))
    assert calls(profile) == 3
    assert any("the last checkpoint of a session that ended at" in caveat for caveat in profile.header.caveats)


def test_one_of_which_nothing_is_stored_says_that_it_was_not_added(daemon: Daemon) -> None:
    pid = daemon.target()
    session = daemon.attach(pid, (INTO,)).sessions[0]
    daemon.registry.lose(daemon.live(pid), TargetGone("ended"))
    assert daemon.store.session(session.id).reason.endswith("not added to nightly: nothing was recorded")


def test_what_a_killed_daemon_left_is_added_by_the_next(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    session = store.add_session(
        add_session(store).target, INTO, name="", group=store.new_group(), started_at=1_700_000_000.0
    )
    store.add_profile(a_profile(), session=session.id, reason="checkpoint")
    store.close()
    for _ in range(2):
        store = Store.open(tmp_path)
        registry = Registry(store, cast("object", None), lambda: 0.0)  # type: ignore[arg-type]
        assert [one.session for one in origins_of(store.load("nightly").header)] == [session.id]
        registry.close()
        store.close()


def test_what_cannot_be_added_is_refused_before_anything_is_done(daemon: Daemon) -> None:
    run(daemon, 5)
    pid = daemon.target()
    for spec, why in (
        (replace(LINES, into="nightly"), r"nightly \(p\d+\) is of calls: a session of lines"),
        (replace(LINES, into="4711"), "looks like a PID"),
        (SessionSpec("trace", into="events"), "does not add up"),
    ):
        with pytest.raises(UsageError, match=why):
            daemon.attach(pid, (spec,))
    assert daemon.attacher.attaches == 1


def test_on_a_full_disk_the_session_keeps_its_own_and_says_why(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    run(daemon, 5)
    add = daemon.store.add_profile

    def full(profile: Profile, **named: object) -> StoredProfile:
        if named.get("in_place_of"):
            raise StoreFull("the disk takes no more")
        return add(profile, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(daemon.store, "add_profile", full)
    ended = daemon.store.session(run(daemon, 7))
    assert (ended.state, ended.reason) == (
        State.STOPPED,
        "its profile was not added to nightly: the disk takes no more",
    )
    assert calls(daemon.store.load(ended.latest_profile)) == 7
    assert calls(daemon.store.load("nightly")) == 5


def test_a_snapshot_of_that_name_stays_and_the_name_means_the_sum(daemon: Daemon) -> None:
    pid = daemon.target()
    session = daemon.attach(pid).sessions[0]
    daemon.agent(pid).calls = 100
    (snapshot,) = daemon.registry.snapshot(session.id, "nightly")
    run(daemon, 5)
    assert calls(daemon.store.load("nightly")) == 105
    assert calls(daemon.store.load(snapshot.id)) == 100
    run(daemon, 6)
    assert calls(daemon.store.load("nightly")) == 111


def test_a_sum_tells_of_the_latest_and_counts_the_others(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "MOST_ORIGINS", 2)
    sessions = [run(daemon, 1) for _ in range(5)]
    header = daemon.store.load("nightly").header
    assert [one.session for one in origins_of(header)] == sessions[-2:]
    assert [one for one in header.caveats if "added earlier" in one] == [
        "3 sessions that were added earlier are in the sum too"
    ]


def test_a_sum_of_sums_counts_those_that_neither_names(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "MOST_ORIGINS", 2)
    for _ in range(5):
        run(daemon, 1)
        run(daemon, 1, replace(CALLS, into="weekly"))
    merged(daemon, "nightly", "weekly", name="both")
    assert earlier_told(daemon, "both") == ["6 sessions that were added earlier are in the sum too"]
    run(daemon, 1, replace(CALLS, into="both"))
    assert earlier_told(daemon, "both") == ["9 sessions that were added earlier are in the sum too"]


def earlier_told(daemon: Daemon, name: str) -> list[str]:
    return [one for one in daemon.store.load(name).header.caveats if "added earlier" in one]


def merged(daemon: Daemon, *subjects: str, name: str = "") -> Profile:
    servicer = ProfilesServicer(daemon.registry, daemon.store)
    answer = servicer.Merge(MergeRequest(subjects=subjects, name=name), cast("object", None))  # type: ignore[arg-type]
    return daemon.store.load(answer.profile.id)


def test_a_merge_is_of_sessions_profiles_processes_and_names(daemon: Daemon) -> None:
    pid = daemon.target()
    session = daemon.attach(pid, name="live").sessions[0]
    daemon.agent(pid).calls = 1
    first, second = run(daemon, 10, CALLS), run(daemon, 100, CALLS)
    profile = daemon.store.session(second).latest_profile
    daemon.store.rename(profile, "warm")
    profile_of_sum = merged(daemon, str(pid), first, "warm", name="total")
    assert calls(profile_of_sum) == 111
    assert [one.session for one in origins_of(profile_of_sum.header)] == [session.id, first, second]
    assert daemon.store.stored("total").reason == MERGED
    assert calls(merged(daemon, "total", run(daemon, 1000, CALLS))) == 1111


def test_growth_leaves_sums_out(daemon: Daemon) -> None:
    session = add_session(daemon.store)
    part = replace(a_profile(), header=replace(a_profile().header, collector="memory"))
    memory = daemon.store.add_session(
        session.target, SessionSpec("memory"), name="", group=daemon.store.new_group(), started_at=1.0
    )
    taken = [daemon.store.add_profile(part, session=memory.id, reason="snapshot").id for _ in range(2)]
    sums.keep(daemon.store, replace(part, header=replace(part.header, session="")))
    assert [one.id for one in archive.series(daemon.store, "", 3, ("memory",))] == taken


def test_what_does_not_add_up_is_refused_naming_both(daemon: Daemon) -> None:
    first, second = run(daemon, 10, CALLS), run(daemon, 1, LINES)
    kept = len(daemon.store.stored_profiles())
    profile = daemon.store.session(first).latest_profile
    for subjects, why in (
        ((first, second), rf"{profile} is of calls, p\d+ of lines"),
        ((first, profile), f"{first} and {profile} are both {profile}"),
        ((first,), "2 to 1000 profiles, not of 1"),
    ):
        with pytest.raises(UsageError, match=why):
            merged(daemon, *subjects)
    with pytest.raises(UsageError, match="looks like a PID"):
        merged(daemon, first, second, name="12")
    assert (len(daemon.store.stored_profiles()), len(daemon.store.sessions())) == (kept, 2)


def test_the_texts_of_a_sum_are_kept_as_long_as_the_sum(tmp_path: Path) -> None:
    now = 1_700_000_000.0
    store = Store.open(tmp_path, clock=lambda: now)
    digest = store.add_source(b"pass\n")
    os.utime(tmp_path / "sources" / digest, (1.0, 1.0))
    part = replace(a_profile(), files=(SourceFile("service.py", digest, (1,)),))
    sums.keep(store, merge([part, part]))
    store.expire()
    assert store.source(digest) == b"pass\n"
    store.close()


def test_a_sum_that_is_too_large_is_refused(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "MAX_NODES", 2)
    with pytest.raises(UsageError, match="the sum has 3 nodes, and a profile may have 2"):
        sums.keep(daemon.store, merge([a_profile(), a_profile()]))
    assert daemon.store.sessions() == []
