"""Fixtures of the unit tests: parts of the agent under every interpreter, and daemons over fake agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from agent_drivers import Drivers
from execd.store.store import Store
from fake_daemons import Daemon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def drivers() -> Iterator[Drivers]:
    """Where the drivers lie for each interpreter; copies in other roots are removed at the end."""
    found = Drivers()
    yield found
    found.remove()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    store = Store.open(tmp_path / "data")
    found = Daemon(store)
    yield found
    found.close()
    store.close()
