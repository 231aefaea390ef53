"""Fixtures of the unit tests: parts of the agent under every interpreter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from agent_drivers import Drivers

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def drivers() -> Iterator[Drivers]:
    """Where the drivers lie for each interpreter; copies in other roots are removed at the end."""
    found = Drivers()
    yield found
    found.remove()
