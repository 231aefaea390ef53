"""Disks that keep everybody waiting who comes to the database, until they are let go on; reads wait as writes do."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from execd.store.database import Database

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    import pytest

LIMIT_S = 60.0


class HeldDisk:
    """The disk of all stores of a test.

    Attributes:
        waiting: the names of the threads that wait for it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waiting: list[str] = []
        self._free = threading.Event()
        self._free.set()
        for name in ("read", "write"):
            monkeypatch.setattr(Database, name, self._behind_us(getattr(Database, name)))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody gets what he came for, until the end."""
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()

    def _behind_us(self, original: object) -> object:
        @contextmanager
        def opened(database: Database) -> Iterator[sqlite3.Connection]:
            if not self._free.is_set():
                self.waiting.append(threading.current_thread().name)
                self._free.wait(LIMIT_S)
            with original(database) as connection:  # type: ignore[operator]
                yield connection

        return opened
