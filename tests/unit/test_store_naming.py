"""What users call things in the store: labels, other names, lists by them; and a database from before these."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from execd.errors import NotFound, UsageError
from execd.model.session import SessionSpec, State
from execd.model.stored import Wanted
from execd.store.migrations import bring_up_to_date, current_schema, version_of
from execd.store.store import Store
from store_samples import STARTED_AT, a_profile, a_target, add_session

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA_1 = Path(__file__).parents[1] / "golden" / "schema-1.sql"


class Clock:
    """Seconds since the epoch that only a test moves."""

    now = STARTED_AT

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data", clock=clock)
    yield opened
    opened.close()


def columns(connection: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    """Name, type, NOT NULL, default and key of each column, by table."""
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for (name,) in tables.fetchall()}


def test_a_database_of_version_1_becomes_what_a_new_one_is() -> None:
    old, new = (sqlite3.connect(":memory:", isolation_level=None) for _ in range(2))
    old.executescript(SCHEMA_1.read_text("utf-8"))
    bring_up_to_date(old, current_schema())
    bring_up_to_date(new, current_schema())
    assert version_of(old) == version_of(new) == 3
    assert columns(old) == columns(new)
    assert {"session_labels", "profile_labels"} <= columns(new).keys()
    old.close()
    new.close()


def test_what_an_older_execd_stored_is_there_and_can_be_labelled(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    session = replace(add_session(store, name="old"), state=State.STOPPED)
    store.save_session(session)
    stored = store.add_profile(a_profile(), session=session.id, reason="final")
    store.close()
    as_version_1(tmp_path / "execd.db")
    store = Store.open(tmp_path)
    assert store.session("old") == replace(session, latest_profile="p1")
    assert store.stored_profiles() == [stored]
    assert store.label("old", {"env": "prod"}) == ("s1", {"env": "prod"})
    assert store.stored("p1").labels == {"env": "prod"}
    store.close()


def as_version_1(path: Path) -> None:
    """Puts what is in a database into one of version 1, in its place."""
    newer = path.rename(path.with_name("newer"))
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript(SCHEMA_1.read_text("utf-8"))
    database.execute("ATTACH ? AS newer", (str(newer),))
    for table, rows in columns(database).items():
        names = ", ".join(str(name) for _, name, *_ in rows)
        database.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM newer.{table}")  # noqa: S608
    database.close()
    newer.unlink()


def labelled(store: Store, **labels: str) -> str:
    """A session that has ended, with labels."""
    spec = SessionSpec("calls", labels=labels, into="sum")
    session = store.add_session(a_target(), spec, name="", group=store.new_group(), started_at=STARTED_AT)
    store.save_session(replace(session, state=State.STOPPED, spec=SessionSpec("calls")))
    return session.id


def test_labels_of_a_session_stay_whatever_becomes_of_it(store: Store) -> None:
    session = store.session(labelled(store, env="prod", team="wéb"))
    assert (session.spec.labels, session.spec.into) == ({"env": "prod", "team": "wéb"}, "sum")
    assert store.label(session.id, {"env": "test", "a": ""}, ["team", "none"]) == ("s1", {"a": "", "env": "test"})
    assert store.session(session.id).spec.labels == {"a": "", "env": "test"}


def test_a_profile_has_the_labels_of_its_session_and_its_own_come_first(store: Store) -> None:
    session = labelled(store, env="prod", team="web")
    store.add_profile(a_profile(), session=session, reason="snapshot", name="warm")
    assert store.label("warm", {"env": "test"}) == ("p1", {"env": "test"})
    assert store.stored("p1").labels == {"env": "test", "team": "web"}
    assert store.session(session).spec.labels == {"env": "prod", "team": "web"}
    store.delete("p1")
    assert store.stored_profiles() == []


def test_a_checkpoint_with_a_label_stays_when_the_next_comes(store: Store) -> None:
    session = add_session(store)
    for _ in range(2):
        store.add_profile(a_profile(), session=session.id, reason="checkpoint")
    store.label("p2", {"before": "deploy"})
    store.add_profile(a_profile(), session=session.id, reason="checkpoint")
    assert [one.id for one in store.stored_profiles()] == ["p3", "p2"]


@pytest.mark.parametrize(
    "labels", [{"": "x"}, {"a=b": "x"}, {" a": "x"}, {"a": "x\n"}, {"a": "x "}, {"k" * 101: ""}, {"a": "v" * 201}]
)
def test_a_label_that_could_not_be_written_or_shown_is_refused(store: Store, labels: dict[str, str]) -> None:
    session = add_session(store)
    with pytest.raises(UsageError, match="the label"):
        store.label(session.id, labels)
    with pytest.raises(UsageError, match="the label"):
        labelled(store, **labels)
    assert (len(store.sessions()), store.session(session.id).spec.labels) == (1, {})


def test_labels_have_a_number_and_what_is_too_much_changes_nothing(store: Store) -> None:
    session = add_session(store)
    with pytest.raises(UsageError, match="64 labels"):
        store.label(session.id, {str(number): "x" for number in range(65)})
    assert store.session(session.id).spec.labels == {}
    with pytest.raises(NotFound):
        store.label("nothing", {"a": "b"})


def test_lists_are_of_what_is_wanted(store: Store, clock: Clock) -> None:
    first, second = labelled(store, env="prod", team="web"), labelled(store, env="prod")
    for session in (first, second):
        store.add_profile(a_profile(), session=session, reason="snapshot")
        clock.now += 100
    store.label("p2", {"team": "web", "env": "test"})
    clock.now += 50

    def ids(session: str = "", **wanted: object) -> list[str]:
        return [one.id for one in store.stored_profiles(session=session, wanted=Wanted(**wanted))]  # type: ignore[arg-type]

    assert ids(labels={"team": "web"}) == ["p2", "p1"]
    assert ids(labels={"team": "web", "env": "prod"}) == ["p1"]
    assert ids(labels={"team": "web"}, session=second) == ["p2"]
    assert (ids(max_age_s=200), ids(min_age_s=200), ids(max_age_s=300, min_age_s=120)) == (["p2"], ["p1"], ["p2", "p1"])
    assert (ids(collector="calls"), ids(collector="lines")) == (["p2", "p1"], [])
    assert [one.id for one in store.sessions(wanted={"team": "web"})] == [first]
    assert [one.id for one in store.sessions(wanted={"env": "prod"}, running_only=True)] == []


def test_profiles_and_ended_sessions_get_other_names(store: Store) -> None:
    running, ended = add_session(store, name="live"), add_session(store)
    store.save_session(replace(ended, state=State.STOPPED))
    for name in ("one", "two"):
        store.add_profile(a_profile(), session=ended.id, reason="snapshot", name=name)
    assert (store.rename("one", "first run"), store.stored("first run").id) == ("p1", "p1")
    assert (store.rename("p1", ""), store.stored("p1").name) == ("p1", "")
    assert (store.rename("p2", "two"), store.rename(ended.id, "nightly")) == ("p2", "s2")
    assert store.session("nightly").id == ended.id
    for subject, name, why in (
        ("p1", "two", "taken by profile p2"),
        ("p1", "4711", "looks like a PID"),
        (ended.id, "live", "taken by session s1"),
        (running.id, "other", "goes on"),
    ):
        with pytest.raises(UsageError, match=why):
            store.rename(subject, name)
    for subject in ("p77", "s77", "nothing"):
        with pytest.raises(NotFound):
            store.rename(subject, "x")


def test_a_profile_of_a_running_session_goes_only_where_that_is_said(store: Store) -> None:
    session = add_session(store)
    store.add_profile(a_profile(), session=session.id, reason="snapshot")
    assert store.stored("p1").running
    with pytest.raises(UsageError, match="p1 is of session s1, which goes on"):
        store.delete("p1", also_running=False)
    assert store.delete("p1").id == "p1"


def test_a_profile_takes_the_place_of_another_with_its_name_and_labels(store: Store, tmp_path: Path) -> None:
    session = labelled(store)
    store.add_profile(a_profile(), session=session, reason="merged", name="sum")
    store.label("p1", {"a": "b"})
    new = store.add_profile(a_profile(nodes=9), session=session, reason="merged", name="sum", in_place_of="p1")
    assert (new.id, new.name, new.labels, new.nodes) == ("p2", "sum", {"a": "b"}, 9)
    assert [path.name for path in (tmp_path / "data" / "profiles").iterdir()] == ["p2.profile"]
    with pytest.raises(NotFound):
        store.add_profile(a_profile(), session=session, reason="merged", name="sum", in_place_of="p1")
    assert [path.name for path in (tmp_path / "data" / "profiles").iterdir()] == ["p2.profile"]
