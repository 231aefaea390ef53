"""The store as the daemon uses it: sessions, profiles, names, retention, the audit trail, threads."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from execd.errors import NotFound, ProfileCorrupt, UsageError
from execd.model.session import ENDED, State
from execd.model.stored import Totals
from execd.store.store import Store
from store_samples import PID, STARTED_AT, a_profile, a_target, add_session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class SettableClock:
    """Seconds since the epoch that only a test moves."""

    def __init__(self) -> None:
        self.now = STARTED_AT

    def __call__(self) -> float:
        """Returns the time."""
        return self.now


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def store(tmp_path: Path, clock: SettableClock) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data", clock=clock)
    yield opened
    opened.close()


def file_names(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "data" / "profiles").iterdir()}


def test_a_new_session_is_starting_and_has_the_next_id(store: Store) -> None:
    first, second = add_session(store), add_session(store)
    assert (first.id, second.id) == ("s1", "s2")
    assert (first.group, second.group) == ("g1", "g2")
    assert first.state is State.STARTING
    assert first.target == a_target()
    assert first.spec.options == {"builtins": True}


def test_a_session_of_an_unknown_group_is_refused(store: Store) -> None:
    session = add_session(store)
    with pytest.raises(NotFound, match="g9"):
        store.save_session(replace(session, group="g9"))


def test_a_saved_session_reads_back_as_it_was(store: Store) -> None:
    session = replace(
        add_session(store),
        name="evening run",
        form="native",
        state=State.FAILED,
        ended_at=STARTED_AT + 1,
        reason="the agent said \udcff",
        caveats=("since attach", "one \udc80"),
    )
    store.save_session(session)
    assert store.session("s1") == session


def test_saving_an_unknown_session_is_refused(store: Store) -> None:
    session = add_session(store)
    with pytest.raises(NotFound, match="s77"):
        store.save_session(replace(session, id="s77"))


def test_a_saved_session_does_not_bring_an_old_latest_profile_back(store: Store) -> None:
    session = add_session(store)
    store.add_profile(a_profile(), session=session.id, reason="snapshot")
    store.save_session(replace(session, state=State.STOPPED, latest_profile=""))
    assert store.session(session.id).latest_profile == "p1"


def test_undecodable_command_lines_round_trip(store: Store) -> None:
    target = replace(a_target(command_line=("py\udce9", "\ud800", "ünï")), executable="/opt/\udcff/python")
    session = add_session(store, target=target)
    assert store.session(session.id).target == target


def test_a_session_keeps_the_facts_of_its_target_from_before_an_exec(store: Store) -> None:
    before = add_session(store)
    after = add_session(store, target=a_target(command_line=("python3", "other.py")))
    assert store.session(before.id).target.command_line == ("python3", "service.py")
    assert store.session(after.id).target.command_line == ("python3", "other.py")


def test_sessions_are_listed_newest_first_up_to_the_limit(store: Store) -> None:
    for _ in range(3):
        add_session(store)
    assert [session.id for session in store.sessions(limit=2)] == ["s3", "s2"]


@pytest.mark.parametrize("state", State)
def test_running_only_leaves_out_what_ended(store: Store, state: State) -> None:
    store.save_session(replace(add_session(store), state=state))
    assert bool(store.sessions(running_only=True)) is (state not in ENDED)


def test_a_session_is_found_by_its_name(store: Store) -> None:
    add_session(store)
    named = add_session(store, name="before the release")
    assert store.session("before the release") == named


def test_the_name_of_a_session_that_goes_on_is_taken(store: Store) -> None:
    holder = add_session(store, name="twice")
    for again in (lambda: add_session(store, name="twice"), lambda: store.check_session_name("twice")):
        with pytest.raises(UsageError, match="'twice' is taken by session s1, which goes on") as caught:
            again()
        assert caught.value.facts["holder"] == holder.id
    assert len(store.sessions()) == 1


def test_the_name_of_a_session_that_ended_means_the_newest_one(store: Store) -> None:
    store.save_session(replace(add_session(store, name="nightly"), state=State.STOPPED))
    store.check_session_name("nightly")
    assert store.session("nightly").id == "s1"
    add_session(store, name="nightly")
    assert store.session("nightly").id == "s2"


def test_sessions_without_a_name_do_not_take_it(store: Store) -> None:
    add_session(store)
    store.check_session_name("")
    assert add_session(store).id == "s2"


def test_a_name_is_taken_by_one_profile_of_a_session(store: Store) -> None:
    first, second = add_session(store), add_session(store)
    store.add_profile(a_profile(), session=first.id, reason="snapshot", name="before")
    with pytest.raises(UsageError, match="'before' is taken by profile p1, of the same session") as caught:
        store.add_profile(a_profile(), session=first.id, reason="snapshot", name="before")
    assert caught.value.facts["holder"] == "p1"
    assert store.add_profile(a_profile(), session=second.id, reason="snapshot", name="before").id == "p2"
    assert store.stored("before").id == "p2"
    assert store.totals().profiles == 2


def test_a_name_is_known_where_a_session_or_a_profile_has_it(store: Store) -> None:
    session = add_session(store, name="nightly")
    store.add_profile(a_profile(), session=session.id, reason="snapshot", name="before")
    assert [store.knows(name) for name in ("nightly", "before", "after")] == [True, True, False]


@pytest.mark.parametrize("reference", ["", "s2", "p1", "nothing", "\udcff", "a\nb", "s" + "9" * 30, "s" + "9" * 10_000])
def test_a_reference_to_nothing_is_not_found(store: Store, reference: str) -> None:
    add_session(store)
    with pytest.raises(NotFound):
        store.session(reference)
    with pytest.raises(NotFound):
        store.stored(reference)


@pytest.mark.parametrize(
    "name",
    [
        *("s12", "p34", "g3", "S1", "4711", "1_000", "+5", "٣", "-x", " x", "x ", "prev", "First", "x" * 101),
        *("a\nb", "\x1b[2J", "\x7f", "a\u202eb", "a\u2028b", "\udcff", "\x00"),
    ],
)
def test_a_name_that_could_mean_something_else_or_disturb_a_terminal_is_refused(store: Store, name: str) -> None:
    session = add_session(store)
    with pytest.raises(UsageError):
        add_session(store, name=name)
    with pytest.raises(UsageError):
        store.save_session(replace(session, name=name))
    with pytest.raises(UsageError):
        store.add_profile(a_profile(), session=session.id, reason="snapshot", name=name)


@pytest.mark.parametrize("name", ["before", "s12 again", "größer", "日本", "p", "v1.2", "'; DROP TABLE x; --"])
def test_an_ordinary_name_is_accepted(store: Store, name: str) -> None:
    session = add_session(store, name=name)
    stored = store.add_profile(a_profile(), session=session.id, reason="snapshot", name=name)
    assert store.session(name).id == session.id
    assert store.stored(name) == stored


def test_a_stored_profile_is_listed_with_what_it_is(store: Store) -> None:
    session = add_session(store)
    stored = store.add_profile(a_profile(nodes=5), session=session.id, reason="snapshot", name="warm")
    assert (stored.id, stored.session, stored.name, stored.reason) == ("p1", "s1", "warm", "snapshot")
    assert (stored.collector, stored.pid, stored.nodes) == ("calls", PID, 5)
    assert (stored.started_at, stored.ended_at) == (STARTED_AT, STARTED_AT + 10.0)
    assert stored.stored_bytes == len(store.read("p1"))
    assert store.stored_profiles() == [stored]


def test_a_loaded_profile_equals_the_stored_one(store: Store) -> None:
    profile = a_profile(nodes=2000, name="odd \udcff")
    store.add_profile(profile, session=add_session(store).id, reason="final")
    assert store.load("p1") == profile


def test_a_profile_of_an_unknown_session_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        store.add_profile(a_profile(), session="s1", reason="snapshot")
    assert file_names(tmp_path) == set()


def test_a_profile_that_ends_at_no_time_is_refused(store: Store) -> None:
    session = add_session(store)
    with pytest.raises(ProfileCorrupt):
        store.add_profile(a_profile(ended_at=float("nan")), session=session.id, reason="snapshot")


def test_profiles_of_one_session_are_listed_newest_first(store: Store) -> None:
    first, second = add_session(store, name="one"), add_session(store)
    for session in (first, second, first):
        store.add_profile(a_profile(), session=session.id, reason="snapshot")
    assert [stored.id for stored in store.stored_profiles(session="one")] == ["p3", "p1"]
    assert [stored.id for stored in store.stored_profiles(limit=1)] == ["p3"]
    with pytest.raises(NotFound):
        store.stored_profiles(session="s9")


@pytest.mark.parametrize("reason", ["checkpoint", "final"])
def test_a_newer_checkpoint_or_final_replaces_the_unnamed_checkpoint(store: Store, tmp_path: Path, reason: str) -> None:
    session, other = add_session(store), add_session(store)
    store.add_profile(a_profile(), session=other.id, reason="checkpoint")
    store.add_profile(a_profile(), session=session.id, reason="checkpoint", name="kept")
    store.add_profile(a_profile(), session=session.id, reason="snapshot")
    store.add_profile(a_profile(), session=session.id, reason="checkpoint")
    store.add_profile(a_profile(), session=session.id, reason="final" if reason == "final" else "checkpoint")
    assert [stored.id for stored in store.stored_profiles()] == ["p5", "p3", "p2", "p1"]
    assert file_names(tmp_path) == {"p1.profile", "p2.profile", "p3.profile", "p5.profile"}
    assert store.session(session.id).latest_profile == "p5"


def test_a_snapshot_replaces_nothing(store: Store) -> None:
    session = add_session(store)
    store.add_profile(a_profile(), session=session.id, reason="checkpoint")
    store.add_profile(a_profile(), session=session.id, reason="snapshot")
    assert [stored.id for stored in store.stored_profiles()] == ["p2", "p1"]


def test_a_deleted_profile_is_gone_and_its_id_is_not_used_again(store: Store, tmp_path: Path) -> None:
    session = add_session(store)
    stored = store.add_profile(a_profile(), session=session.id, reason="snapshot")
    assert store.delete("p1") == stored
    assert file_names(tmp_path) == set()
    assert store.session(session.id).latest_profile == ""
    with pytest.raises(NotFound):
        store.load("p1")
    assert store.add_profile(a_profile(), session=session.id, reason="snapshot").id == "p2"


def test_a_file_that_was_changed_is_not_read(store: Store, tmp_path: Path) -> None:
    store.add_profile(a_profile(), session=add_session(store).id, reason="snapshot")
    path = tmp_path / "data" / "profiles" / "p1.profile"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(ProfileCorrupt, match=r"p1\.profile"):
        store.load("p1")


def test_totals_count_profiles_and_their_bytes(store: Store) -> None:
    assert store.totals() == Totals(profiles=0, bytes=0)
    session = add_session(store)
    sizes = [
        store.add_profile(a_profile(nodes=nodes), session=session.id, reason="snapshot").stored_bytes
        for nodes in (10, 1000)
    ]
    assert store.totals() == Totals(profiles=2, bytes=sum(sizes))


def test_what_is_too_old_expires(store: Store, clock: SettableClock) -> None:
    session = add_session(store)
    store.save_session(replace(session, state=State.STOPPED))
    store.add_profile(a_profile(), session=session.id, reason="snapshot")
    clock.now += 100
    store.add_profile(a_profile(), session=session.id, reason="snapshot")
    assert store.expire(max_age_s=99, max_bytes=10**9) == ["p1"]
    assert [stored.id for stored in store.stored_profiles()] == ["p2"]


def test_the_oldest_expire_until_the_rest_fits(store: Store) -> None:
    session = add_session(store)
    store.save_session(replace(session, state=State.STOPPED))
    for _ in range(4):
        stored = store.add_profile(a_profile(), session=session.id, reason="snapshot")
    assert store.expire(max_age_s=1e9, max_bytes=2 * stored.stored_bytes) == ["p1", "p2"]
    assert store.totals().bytes == 2 * stored.stored_bytes


def test_profiles_of_a_running_session_never_expire(store: Store) -> None:
    running, ended = add_session(store), add_session(store)
    store.save_session(replace(ended, state=State.TARGET_GONE))
    for session in (running, ended):
        store.add_profile(a_profile(), session=session.id, reason="snapshot")
    assert store.expire(max_age_s=-1, max_bytes=0) == ["p2"]


def test_the_audit_trail_is_listed_newest_first(store: Store, clock: SettableClock) -> None:
    store.audit(1, "attach", PID, "done")
    clock.now += 1
    store.audit(2, "start", PID, "refused: \udcff")
    newest, oldest = store.audit_entries()
    assert (newest.at, newest.actor_pid, newest.action) == (STARTED_AT + 1, 2, "start")
    assert (newest.target_pid, newest.outcome) == (PID, "refused: \udcff")
    assert oldest.action == "attach"
    assert store.audit_entries(limit=1) == [newest]


def test_everything_is_there_after_closing_and_opening(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    session = replace(add_session(store, name="kept"), state=State.STOPPED, ended_at=STARTED_AT + 5)
    store.save_session(session)
    stored = store.add_profile(a_profile(), session=session.id, reason="final", name="last")
    store.close()
    store = Store.open(tmp_path)
    assert store.session("kept") == replace(session, latest_profile="p1")
    assert store.stored("last") == stored
    assert store.load("last") == a_profile()
    assert store.recovery.quarantined == ()
    store.close()


def test_threads_store_and_read_at_the_same_time(store: Store, tmp_path: Path) -> None:
    session = add_session(store)

    def work(nodes: int) -> None:
        stored = store.add_profile(a_profile(nodes=nodes), session=session.id, reason="snapshot")
        store.add_profile(a_profile(nodes=nodes), session=session.id, reason="checkpoint")
        store.audit(nodes, "start", PID, "done")
        assert store.load(stored.id) == a_profile(nodes=nodes)
        assert store.stored(stored.id).nodes == nodes

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(1, 65)))
    snapshots = [stored for stored in store.stored_profiles(limit=1000) if stored.reason == "snapshot"]
    assert sorted(stored.nodes for stored in snapshots) == list(range(1, 65))
    assert sorted(entry.actor_pid for entry in store.audit_entries(1000)) == list(range(1, 65))
    listed = {f"{stored.id}.profile" for stored in store.stored_profiles(limit=1000)}
    assert file_names(tmp_path) == listed
    assert len(listed) == 65  # the checkpoints replaced each other


def test_a_source_is_kept_by_what_is_in_it(store: Store) -> None:
    text = b"def f():\n    return '\xff'\n" * 1000
    digest = store.add_source(text)
    assert digest == store.add_source(text) == sha256(text).hexdigest()
    assert store.source(digest) == text
    assert store.source("0" * 64) is None


def test_a_source_that_was_damaged_is_gone(store: Store, tmp_path: Path) -> None:
    digest = store.add_source(b"pass\n")
    path = tmp_path / "data" / "sources" / digest
    path.write_bytes(path.read_bytes()[:-8])
    assert store.source(digest) is None


def test_sources_go_when_every_profile_that_could_use_them_is_gone(
    store: Store, tmp_path: Path, clock: SettableClock
) -> None:
    used, unused = store.add_source(b"used"), store.add_source(b"unused")
    for digest, kept_at in ((used, clock.now - 50), (unused, clock.now - 200)):
        os.utime(tmp_path / "data" / "sources" / digest, (kept_at, kept_at))
    store.expire(max_age_s=100, max_bytes=1 << 30)
    assert (store.source(used), store.source(unused)) == (b"used", None)


def test_a_source_that_is_used_again_stays(store: Store, tmp_path: Path, clock: SettableClock) -> None:
    digest = store.add_source(b"used")
    os.utime(tmp_path / "data" / "sources" / digest, (clock.now - 200, clock.now - 200))
    store.add_source(b"used")
    store.expire(max_age_s=100, max_bytes=1 << 30)
    assert store.source(digest) == b"used"
