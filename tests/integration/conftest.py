"""Fixtures of the integration tests: a helper process that stays warm, as the daemon's does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from daemons import Daemon
from execd.attach.attacher import Attacher
from execd.sessions.registry import Registry
from execd.store.store import Store
from fake_agents import FakeAttacher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def attacher() -> Iterator[Attacher]:
    """Attaches to targets, through one helper process for the whole run."""
    warm = Attacher()
    warm.start()
    yield warm
    warm.close()


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """One daemon for all tests of a file, for a start takes longer than most; those that end it have their own."""
    with Daemon() as running:
        yield running


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """One over a store of its own; nothing is attached to."""
    store = Store.open(tmp_path / "data")
    made = Registry(store, FakeAttacher(), time.time)  # type: ignore[arg-type]
    yield made
    made.close()
    store.close()
