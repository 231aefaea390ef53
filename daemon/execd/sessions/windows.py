"""What a session of samples meets, a window of time after the other, for who looks at it while it goes on."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from execd.errors import NotFound, UsageError
from execd.sampling.window import Windows
from execd.sessions import selection
from execd.sessions.sampled import SampledTarget
from execd.sessions.standstill import why_still

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from execd.model.session import Session
    from execd.model.window import Window
    from execd.sampling.recording import StackRecording
    from execd.sampling.window import Follower
    from execd.sessions.armed import Running
    from execd.sessions.registry import Registry

# How often it is seen that nobody looks any more.
_LOOK_S: Final = 0.5


class SampleWindows:
    """The windows of one session for one reader; a context manager, for until its end all is counted for it.

    Attributes:
        session: which, "s12".
        rate_hz: how often a second all threads are to be looked at.

    Args:
        registry: that has it.
        word: a session, a group of one, a PID, a name; "" the only running session of samples.

    Raises:
        NotFound: no session of samples runs that is meant.
        Ambiguous: there are several.
        UsageError: it is a session of something else.
    """

    def __init__(self, registry: Registry, word: str) -> None:
        self._registry = registry
        self._target, self._running = _find(registry, word)
        self.session = self._running.session.id
        self._recording, self._follower = self._begun()
        self.rate_hz = self._recording.rate_hz

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._target.looking:
            self._recording.unfollow(self._follower)

    def end_with_reader(self) -> None:
        """Leave the end of the session to the reader, who stops it: it was bounded for the time until he came."""
        # One that is over is about to be ended.
        if not self._running.is_over:
            self._running.ends_at = math.inf

    def read(self, interval_s: float, stopped: Callable[[], bool]) -> Iterator[Window]:
        """Yield a window each time that it is over, until the session ends; the last one holds what is left.

        Args:
            interval_s: how long one is.
            stopped: whether nobody looks any more.
        """
        windows, due = Windows(), time.monotonic()
        goes_on = True
        while goes_on:
            # A reader who is slow gets a longer window, and not several at once.
            due = max(due + interval_s, time.monotonic())
            while self._goes_on() and not stopped() and (left_s := due - time.monotonic()) > 0:
                self._registry.recorder.wait_for_change(min(left_s, _LOOK_S))
            if stopped():
                return
            with self._target.looking:
                goes_on = self._goes_on()
                if goes_on:
                    self._recording.drain()
                met, names = self._follower.take(), self._recording.names
            yield replace(windows.window(met, names), standstill=why_still(self._target.target.key.pid))

    def _begun(self) -> tuple[StackRecording, Follower]:
        with self._target.looking:
            if self._goes_on():
                recording = self._target.recording(self._running)
                return recording, recording.follow()
        raise selection.has_ended(self._registry.session(self.session))

    def _goes_on(self) -> bool:
        return self.session in self._target.running


def _find(registry: Registry, word: str) -> tuple[SampledTarget, Running]:
    """Return the session of samples that a word means, and its process."""
    meant = registry.meant(word)
    rows = [row for row in registry.running() if _is_meant(meant, row[0].target.key.pid, row[1])]
    sampled = [(target, running) for target, running in rows if isinstance(target, SampledTarget)]
    if not sampled:
        raise _not_sampled(registry, word, meant, [running.session for _, running in rows])
    # Of several on one process the one that began last.
    if selection.is_pid(meant):
        return max(sampled, key=lambda row: row[1].session.started_at)
    only = selection.only([running.session for _, running in _roots(sampled)], "running session of samples")
    return next(row for row in sampled if row[1].session is only)


def _not_sampled(registry: Registry, word: str, meant: str, others: Sequence[Session]) -> NotFound | UsageError:
    """Return why there is nothing to look at.

    Args:
        registry: of the daemon.
        word: as the user wrote it.
        meant: what it means.
        others: the sessions of other collectors that it fits.
    """
    if not selection.is_session(meant):
        what = f"no session of samples runs that is called {word!r}" if word else "no session of samples runs"
        return NotFound(what, remedy="start one: execctl attach PID --sample")
    if not others:
        return selection.has_ended(registry.session(meant))
    return UsageError(
        f"session {meant} is not of samples, its collector is {others[0].spec.collector}",
        remedy=f"see what it recorded: execctl report {meant}",
    )


def _is_meant(meant: str, pid: int, running: Running) -> bool:
    return meant in ("", running.session.id, running.session.group, str(pid))


def _roots(rows: list[tuple[SampledTarget, Running]]) -> list[tuple[SampledTarget, Running]]:
    """Return the sessions without those that a root of their group stands for."""
    roots = {running.session.group for _, running in rows if running.session.spec.children}
    return [row for row in rows if row[1].session.spec.children or row[1].session.group not in roots]
