"""The files of profiles: their names are held by nothing when they are closed."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from execd.model.session import State
from execd.store.store import Store
from store_samples import STARTED_AT, a_profile, add_session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def interned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All that Python code interns: CPython 3.12 keeps it for ever, and a daemon would grow by each stored profile."""
    found: list[str] = []
    intern = sys.intern

    def recorded(text: str) -> str:
        found.append(text)
        return intern(text)

    monkeypatch.setattr(sys, "intern", recorded)
    return found


def test_what_is_interned_would_be_seen(interned: list[str], tmp_path: Path) -> None:
    assert str(tmp_path / "p1.profile").endswith("p1.profile")
    assert "p1.profile" in interned


def test_no_name_of_a_file_is_interned(store: Store, interned: list[str]) -> None:
    first, second = add_session(store), add_session(store)
    for reason in ("checkpoint", "snapshot", "final"):
        store.load(store.add_profile(a_profile(), session=first.id, reason=reason).id)  # type: ignore[arg-type]
    store.end_sessions([(replace(second, state=State.STOPPED, ended_at=STARTED_AT + 1), a_profile())])
    store.delete("p2")
    store.add_source(b"text = 1\n")
    assert [text for text in interned if text.endswith((".profile", ".tmp"))] == []
