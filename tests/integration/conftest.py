"""Fixtures of the integration tests: a helper process that stays warm, as the daemon's does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from daemons import Daemon
from execd.attach.attacher import Attacher

if TYPE_CHECKING:
    from collections.abc import Iterator


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
