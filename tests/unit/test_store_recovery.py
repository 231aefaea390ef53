"""The store after a crash, after damage, and after an older or a newer execd."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import store_writer
from execd.errors import NotFound, StoreTooNew
from execd.model.session import State
from execd.store.migrations import Migration, Schema, bring_up_to_date, current_schema, version_of
from execd.store.store import Store
from store_samples import STARTED_AT, a_profile, add_session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUNDS = 30
VERSION_1 = "CREATE TABLE things (id INTEGER PRIMARY KEY); PRAGMA user_version = 1;"
ADD_NAME = Migration(2, "ALTER TABLE things ADD COLUMN name TEXT NOT NULL DEFAULT 'none'")
ADD_SIZE = Migration(3, "ALTER TABLE things ADD COLUMN size INTEGER")
VERSION_3 = Schema(
    3,
    "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'none', size INTEGER);"
    " PRAGMA user_version = 3;",
    (ADD_NAME, ADD_SIZE),
)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    yield opened
    opened.close()


def fill(directory: Path, *, profiles: int = 2) -> None:
    """Leaves a store with one running session and so many snapshots, closed."""
    store = Store.open(directory)
    session = add_session(store)
    for _ in range(profiles):
        store.add_profile(a_profile(), session=session.id, reason="snapshot")
    store.close()


def pretend_unclean(directory: Path) -> None:
    """Leaves what a daemon leaves that did not close its store."""
    (directory / "execd.db-wal").touch()


def kill_a_writer(directory: Path, moment: random.Random) -> list[str]:
    """Runs a program that fills the store, kills it at a random moment, returns what was acknowledged."""
    command = [sys.executable, store_writer.__file__, str(directory)]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(moment.randint(1, 4))]
        # Not a wait for anything: it spreads the kills over the steps between two lines.
        time.sleep(moment.uniform(0.0, 0.01))
        writer.kill()
        lines += writer.stdout.readlines()
    return [line.strip() for line in lines]


def test_what_was_acknowledged_survives_kills_at_random_moments(tmp_path: Path) -> None:
    acknowledged: dict[str, int] = {}
    moment = random.Random(20)  # noqa: S311 - reproducible, not secret
    for _ in range(ROUNDS):
        session, *lines = kill_a_writer(tmp_path, moment)
        acknowledged |= {stored: int(nodes) for stored, nodes in (line.split() for line in lines)}
        store = Store.open(tmp_path)
        assert session in store.recovery.interrupted
        assert store.session(session).state is State.INTERRUPTED
        for stored, nodes in acknowledged.items():
            assert store.load(stored) == a_profile(nodes=nodes)
        store.close()
    assert len(acknowledged) >= ROUNDS


def test_a_session_left_running_ends_at_its_last_profile(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    session = add_session(store)
    for ended_at in (STARTED_AT + 20, STARTED_AT + 30):
        store.add_profile(a_profile(ended_at=ended_at), session=session.id, reason="checkpoint")
    store.close()
    store = Store.open(tmp_path)
    found = store.session(session.id)
    store.close()
    assert (found.state, found.ended_at) == (State.INTERRUPTED, STARTED_AT + 30)
    assert found.reason == "the daemon ended without stopping it"


def test_a_session_without_profile_ends_when_it_started(tmp_path: Path) -> None:
    fill(tmp_path, profiles=0)
    store = Store.open(tmp_path)
    assert store.session("s1").ended_at == STARTED_AT
    store.close()


def test_a_session_that_ended_is_left_as_it_is(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    session = replace(add_session(store), state=State.FAILED, reason="why", ended_at=STARTED_AT + 1)
    store.save_session(session)
    store.close()
    store = Store.open(tmp_path)
    assert store.session(session.id) == session
    assert store.recovery.interrupted == ()
    store.close()


@pytest.mark.parametrize("name", ["p9.profile", "0123456789abcdef.tmp"])
def test_a_file_without_a_row_goes_to_quarantine(tmp_path: Path, name: str) -> None:
    fill(tmp_path)
    (tmp_path / "profiles" / name).write_bytes(b"half")
    store = Store.open(tmp_path)
    store.close()
    assert store.recovery.quarantined == (name,)
    assert (tmp_path / "quarantine" / name).read_bytes() == b"half"
    assert not (tmp_path / "profiles" / name).exists()


def test_two_orphans_of_one_name_are_both_kept(tmp_path: Path) -> None:
    fill(tmp_path)
    for content in (b"first", b"second"):
        (tmp_path / "profiles" / "p9.profile").write_bytes(content)
        Store.open(tmp_path).close()
    kept = {path.name: path.read_bytes() for path in (tmp_path / "quarantine").iterdir()}
    assert kept == {"p9.profile": b"first", "p9.profile.1": b"second"}


def test_the_row_of_a_missing_file_goes_to_quarantine(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "profiles" / "p2.profile").unlink()
    store = Store.open(tmp_path)
    assert store.recovery.quarantined == ("p2.profile.row.json",)
    assert [stored.id for stored in store.stored_profiles()] == ["p1"]
    assert store.session("s1").latest_profile == "p1"
    store.close()
    row = json.loads((tmp_path / "quarantine" / "p2.profile.row.json").read_bytes())
    assert (row["id"], row["session"], row["collector"]) == ("p2", "s1", "calls")


def test_a_file_of_another_size_goes_to_quarantine_with_its_row(tmp_path: Path) -> None:
    fill(tmp_path)
    with (tmp_path / "profiles" / "p1.profile").open("ab") as file:
        file.write(b"more")
    store = Store.open(tmp_path)
    assert store.recovery.quarantined == ("p1.profile.row.json", "p1.profile")
    with pytest.raises(NotFound):
        store.stored("p1")
    store.close()


def test_a_file_with_other_bytes_is_found_after_an_unclean_end(tmp_path: Path) -> None:
    fill(tmp_path)
    path = tmp_path / "profiles" / "p1.profile"
    path.write_bytes(bytes(path.stat().st_size))
    pretend_unclean(tmp_path)
    store = Store.open(tmp_path)
    store.close()
    assert store.recovery.quarantined == ("p1.profile.row.json", "p1.profile")


@pytest.mark.parametrize("offset", [0, 4096])
def test_a_damaged_database_goes_to_quarantine_and_a_new_one_is_made(tmp_path: Path, offset: int) -> None:
    fill(tmp_path)
    with (tmp_path / "execd.db").open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 4096)
    pretend_unclean(tmp_path)
    store = Store.open(tmp_path)
    assert set(store.recovery.quarantined) >= {"execd.db", "p1.profile", "p2.profile"}
    assert add_session(store).id == "s1"
    store.close()
    assert {path.name for path in (tmp_path / "quarantine").iterdir()} == set(store.recovery.quarantined)


def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    fill(tmp_path)
    newer = sqlite3.connect(tmp_path / "execd.db", isolation_level=None)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    (tmp_path / "profiles" / "of_the_newer").touch()
    for _ in range(2):  # the second time shows that the first gave the directory up
        with pytest.raises(StoreTooNew) as caught:
            Store.open(tmp_path)
    assert caught.value.facts["found"] == "99"
    assert (tmp_path / "profiles" / "of_the_newer").exists()


def test_the_schema_file_has_the_version_that_the_table_of_migrations_leads_to(
    connection: sqlite3.Connection,
) -> None:
    schema = current_schema()
    bring_up_to_date(connection, schema)
    assert version_of(connection) == schema.version
    assert [step.to_version for step in schema.migrations] == list(range(2, schema.version + 1))


@pytest.mark.parametrize("found", [(), (ADD_NAME,)])
def test_an_older_database_takes_the_steps_that_it_lacks_and_keeps_its_rows(
    connection: sqlite3.Connection, found: tuple[Migration, ...]
) -> None:
    bring_up_to_date(connection, Schema(1 + len(found), VERSION_1, found))
    connection.execute("INSERT INTO things (id) VALUES (7)")
    bring_up_to_date(connection, VERSION_3)
    assert connection.execute("SELECT id, name, size FROM things").fetchall() == [(7, "none", None)]
    assert version_of(connection) == 3


def test_an_up_to_date_database_is_not_touched(connection: sqlite3.Connection) -> None:
    bring_up_to_date(connection, VERSION_3)
    bring_up_to_date(connection, VERSION_3)
    assert version_of(connection) == 3


def test_a_failed_step_leaves_the_version_before_it(connection: sqlite3.Connection) -> None:
    bring_up_to_date(connection, Schema(1, VERSION_1, ()))
    broken = Migration(3, "ALTER TABLE things ADD COLUMN size INTEGER; INSERT INTO nowhere VALUES (1)")
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        bring_up_to_date(connection, Schema(3, VERSION_1, (ADD_NAME, broken)))
    assert version_of(connection) == 2
    assert [row[1] for row in connection.execute("PRAGMA table_info(things)")] == ["id", "name"]
    bring_up_to_date(connection, VERSION_3)
    assert version_of(connection) == 3
