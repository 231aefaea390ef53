"""Ends of many sessions that are stored at once, all or none; and sessions that are removed, for they have nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from execd.errors import NotFound, ProfileCorrupt
from execd.model.session import Session, State
from execd.store.store import Store
from store_samples import STARTED_AT, a_profile, a_target, add_session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from execd.model.profile import Profile

ENDED_AT = STARTED_AT + 10.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path)
    yield opened
    opened.close()


def files(directory: Path) -> list[str]:
    return sorted(one.name for one in (directory / "profiles").iterdir())


def ended(session: Session) -> Session:
    return replace(session, state=State.STOPPED, ended_at=ENDED_AT)


def ends(store: Store) -> list[tuple[Session, Profile]]:
    """Three sessions that have ended, the first with a checkpoint before."""
    sessions = [add_session(store) for _ in range(3)]
    store.add_profile(a_profile(nodes=1), session=sessions[0].id, reason="checkpoint")
    return [(ended(one), a_profile(nodes=2 + index)) for index, one in enumerate(sessions)]


def test_each_has_its_own_last_profile_in_place_of_its_checkpoint(store: Store, tmp_path: Path) -> None:
    given = ends(store)
    store.end_sessions(given)
    for session, profile in given:
        found = store.session(session.id)
        assert (found.state, found.ended_at) == (State.STOPPED, ENDED_AT)
        assert [one.reason for one in store.stored_profiles(session=session.id)] == ["final"]
        assert store.load(found.latest_profile).parents == profile.parents
    assert len(files(tmp_path)) == len(given)


@pytest.mark.parametrize("why", ["an end that is no time", "a session that there is none of"])
def test_where_one_cannot_be_stored_none_is_and_no_file_is_left(store: Store, tmp_path: Path, why: str) -> None:
    given = ends(store)
    before = files(tmp_path)
    session, profile = given[-1]
    if why == "an end that is no time":
        given[-1] = session, a_profile(ended_at=float("inf"))
    else:
        given[-1] = replace(session, id="s99"), profile
    with pytest.raises((ProfileCorrupt, NotFound)):
        store.end_sessions(given)
    assert files(tmp_path) == before
    assert {one.state for one in store.sessions()} == {State.STARTING}
    assert [one.reason for one in store.stored_profiles()] == ["checkpoint"]
    # The numbers of what was undone are used anew.
    store.end_sessions(given[:-1])
    assert len(store.stored_profiles()) == 2


def test_of_no_sessions_nothing_is_stored(store: Store, tmp_path: Path) -> None:
    store.end_sessions([])
    assert files(tmp_path) == []


def test_a_session_is_removed_with_its_target_where_that_has_no_other(store: Store) -> None:
    first, second = add_session(store), add_session(store)
    alone = add_session(store, target=a_target(command_line=("python3", "other.py")))
    for one in (first, alone):
        store.remove_session(one.id)
    with pytest.raises(NotFound):
        store.remove_session(first.id)
    assert [one.id for one in store.sessions()] == [second.id]
    assert store.session(second.id).target == a_target()
    again = add_session(store)
    # Never used twice.
    assert int(again.id[1:]) == 4
