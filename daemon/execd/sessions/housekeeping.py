"""Housekeeping: old profiles go once an hour too, where no session ends for long."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from execd.errors import ExecdError

if TYPE_CHECKING:
    from collections.abc import Callable

    from execd.store.store import Store

_LOG = logging.getLogger("execd.sessions")
INTERVAL_S = 3600.0


class Housekeeper:
    """A thread that sleeps but for an instant an hour, from `start` to `close`.

    Args:
        store: what it tidies.
        wait: sleeps so many seconds and returns whether it is to end; None for a wait that `close` ends.
    """

    def __init__(self, store: Store, wait: Callable[[float], bool] | None = None) -> None:
        self._store = store
        self._closing = threading.Event()
        self._wait = wait or self._closing.wait
        self._thread = threading.Thread(target=self._run, name="execd-housekeeping", daemon=True)

    def start(self) -> None:
        """Begin; what is too old already goes at once."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        tidy(self._store)
        while not self._wait(INTERVAL_S):
            tidy(self._store)


def tidy(store: Store) -> None:
    """Remove what is too old or too much; what cannot be removed is logged, for it says nothing of what has come."""
    try:
        gone = store.expire()
    except (ExecdError, OSError) as error:
        _LOG.warning("old profiles could not be removed", extra={"facts": {"why": str(error)}})
        return
    if gone:
        _LOG.info("old profiles were removed", extra={"facts": {"profiles": gone}})
