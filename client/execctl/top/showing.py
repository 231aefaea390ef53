"""Shows a process on the terminal, until the user has seen enough."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from execctl.top.keys import Action, pressed
from execctl.top.model import Display, Seen, begun_anew, with_window
from execctl.top.screen import Screen, screen

if TYPE_CHECKING:
    from execctl.top.feed import Feed
    from execctl.top.screen import Subject
    from execctl.top.terminal import Terminal

# The clock at the top goes on.
_TICK_S: Final = 1.0
# After so many windows that did not come it is said.
_MISSING: Final = 3


class Showing:
    """What one user looks at, from the first screen to the last.

    Args:
        subject: what is looked at.
        feed: brings what is seen of it.
        interval_s: how often it does.
    """

    def __init__(self, subject: Subject, feed: Feed, interval_s: float) -> None:
        self._subject, self._feed, self._interval_s = subject, feed, interval_s
        self._seen = self._frozen = Seen()
        self._display = Display()
        self._began_at = self._heard_at = time.monotonic()
        self._stopped_at: float | None = None

    def run(self, terminal: Terminal) -> None:
        """Show it until a key, a signal or the loss of the terminal ends that."""
        while not terminal.ended_by and not terminal.is_gone:
            self._take()
            shown = self._screen(terminal)
            terminal.paint(shown.lines)
            for key in terminal.wait(_TICK_S):
                if self._is_over(key, shown):
                    return

    def _take(self) -> None:
        for window in self._feed.take():
            self._seen = with_window(self._seen, window)
            self._heard_at = time.monotonic()
        if self._feed.failure is not None:
            raise self._feed.failure
        if self._feed.has_ended and self._stopped_at is None:
            self._stopped_at = time.monotonic()
        if not self._display.is_paused:
            self._frozen = self._seen

    def _screen(self, terminal: Terminal) -> Screen:
        return screen(
            self._subject,
            self._frozen,
            self._display,
            terminal.size(),
            terminal.charset,
            elapsed_s=(self._stopped_at or time.monotonic()) - self._began_at,
            message=self._message(),
        )

    def _is_over(self, key: str, shown: Screen) -> bool:
        # Where the table became shorter, a step goes from what is shown.
        display = replace(self._display, first=shown.first)
        self._display, action = pressed(display, key, shown.rows, shown.page)
        if action is Action.RESET:
            self._seen = self._frozen = begun_anew(self._seen)
        return action is Action.QUIT

    def _message(self) -> str:
        if self._feed.error is not None:
            return self._feed.error.message
        if self._feed.last is not None:
            last = self._feed.last
            return last.reason or f"{last.id} was stopped"
        if self._feed.has_ended:
            return f"{self._subject.session} has ended; nothing is kept of it"
        silent_s = time.monotonic() - self._heard_at
        if silent_s > _MISSING * self._interval_s + _TICK_S:
            return f"nothing came from the daemon for {silent_s:.0f} s"
        return self._frozen.standstill
