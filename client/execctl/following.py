"""Shows the events of a trace as they come, as fast as the terminal takes them."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execctl import output
from execctl.errors import ClientError, NoDaemon

if TYPE_CHECKING:
    from collections.abc import Generator

    from execctl.api.session import TracedLines
    from execctl.client import Client


@dataclass(slots=True)
class Following:
    """One trace on this terminal.

    Attributes:
        session: which; the daemon's answer makes an id of it.
        timing: lines are preceded by the seconds since the start.
        from_now: leave out what was recorded before.
        shown: how many events were shown.
        lost: how many are missing among them.
        interrupted: whether Ctrl-C ended it.
        unread: whether nobody reads any more.
    """

    session: str
    timing: bool = False
    from_now: bool = False
    shown: int = 0
    lost: int = 0
    interrupted: bool = False
    unread: bool = False
    _end: int = 0
    _begun: bool = False

    def run(self, client: Client, duration_s: float | None = None) -> None:
        """Show what comes until the session ends, nobody reads any more, the time is over, or Ctrl-C.

        A connection that broke while this process was stopped is made again.
        """
        ends_at = None if duration_s is None else time.monotonic() + duration_s
        try:
            while not self._is_shown(client, ends_at):
                output.note(f"{self.session}: the connection broke; going on")
        except KeyboardInterrupt:
            self.interrupted = True

    def run_to_the_end(self, client: Client) -> None:
        """Show the rest of a trace that has ended, unless the user has had enough of it."""
        if not self.interrupted and not self.unread:
            self.run(client)

    def tell(self) -> None:
        """Say how much was shown, on stderr."""
        missing = f", {self.lost} are missing" if self.lost else ""
        output.note(f"{self.session}: {self.shown} events were shown{missing}")

    def _is_shown(self, client: Client, ends_at: float | None) -> bool:
        """Show a connection's share, and return whether that was all."""
        left_s = None if ends_at is None else max(ends_at - time.monotonic(), 0)
        came = False
        try:
            with closing(self._chunks(client, left_s)) as chunks:
                for chunk in chunks:
                    came = True
                    self.unread = not self._show(chunk)
                    if self.unread:
                        return True
        except ClientError as error:
            # The daemon lets go of a client that takes nothing for a minute and does not answer a ping.
            if not came or not isinstance(error, NoDaemon):
                raise
            return False
        return True

    def _chunks(self, client: Client, duration_s: float | None) -> Generator[TracedLines]:
        from_now = self.from_now and not self._begun
        return client.follow(
            self.session, duration_s=duration_s, timing=self.timing, after=self._end, from_now=from_now
        )

    def _show(self, chunk: TracedLines) -> bool:
        """Show some events, and return whether there is a reader still."""
        if chunk.session:
            self.session = chunk.session
        if self._begun:
            self.shown += chunk.end - self._end - chunk.lost
            self.lost += chunk.lost
        self._begun, self._end = True, chunk.end
        return output.write_stream(chunk.text)
