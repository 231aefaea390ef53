"""Reads the windows of a session in a thread of its own, while the terminal is looked after in another."""

from __future__ import annotations

from contextlib import closing
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from execctl.errors import ClientError, NoDaemon, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from execctl.api.session import Session
    from execctl.api.windows import SampleWindow
    from execctl.client import Client


class Feed:
    """The windows of one session, from now to its end or that of the client.

    Attributes:
        session: "s12", once it has begun.
        has_ended: nothing comes any more; then one of the following is known, at most.
        last: the session as it ended; None where nothing is kept of it.
        error: why nothing comes from the daemon any more.
        failure: a bug.

    Args:
        client: of the daemon; the thread ends with it.
        session: which; "" the only one of samples.
        interval_s: how long a window is.
        stop_at_end: the session is stopped when nobody reads any more.
        ring: called when something has come.
    """

    def __init__(
        self, client: Client, session: str, interval_s: float, ring: Callable[[], None], *, stop_at_end: bool = False
    ) -> None:
        self.session = ""
        self.has_ended = False
        self.last: Session | None = None
        self.error: ClientError | None = None
        self.failure: Exception | None = None
        self._client, self._word, self._interval_s, self._ring = client, session, interval_s, ring
        self._stop_at_end = stop_at_end
        self._windows: SimpleQueue[SampleWindow] = SimpleQueue()
        self._thread = Thread(target=self._run, name="execctl-top", daemon=True)
        self._thread.start()

    def take(self) -> list[SampleWindow]:
        """Return what has come since the last time."""
        taken = []
        while True:
            try:
                taken.append(self._windows.get_nowait())
            except Empty:
                return taken

    def join(self) -> None:
        """Wait for its end, which is near where the client is closed."""
        self._thread.join()

    def _run(self) -> None:
        try:
            # The daemon lets go of a client that was stopped for long (Ctrl-Z).
            while not self._read():
                continue
            self.last = self._ended()
        except ClientError as error:
            self.error = error
        except Exception as failure:  # noqa: BLE001 - raised where the terminal is looked after
            self.failure = failure
        self.has_ended = True
        self._ring()

    def _ended(self) -> Session | None:
        """Return the session as it ended; None of one that had nothing, and went with its end."""
        try:
            return self._client.session(self.session)
        except NotFound:
            return None

    def _read(self) -> bool:
        """Read what a connection brings, and return whether that was all."""
        has_come = False
        windows = self._client.sample_windows(
            self.session or self._word, interval_s=self._interval_s, stop_at_end=self._stop_at_end
        )
        try:
            with closing(windows):
                for window in windows:
                    has_come = True
                    self.session = window.session or self.session
                    self._windows.put(window)
                    self._ring()
        except NoDaemon:
            if not has_come:
                raise
            return False
        return True
