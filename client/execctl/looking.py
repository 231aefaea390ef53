"""What the Python API does from outside of processes: samples of all of them, and samples as they come."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from execctl import convert
from execctl.api.everyone import Everyone
from execctl.api.modes import specs_of
from execctl.archive import Archive, Subject, name_of
from execctl.durations import milliseconds

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from execctl.api.everyone import OpenGroup
    from execctl.api.windows import SampleWindow


class Looking(Archive):
    """What a daemon has stored, and what it sees of processes from outside."""

    def record_all(
        self, *, rate_hz: float = 20.0, keep_s: float = 900.0, name: str = "", labels: Mapping[str, str] | None = None
    ) -> Everyone:
        """Sample every Python process of the daemon's user, and those that come later, until that is stopped.

        execd's own processes are left out.

        Args:
            rate_hz: how often a second each thread is looked at.
            keep_s: of each process the latest samples are kept, of so many seconds.
            name: of the sessions.
            labels: of the sessions, by key.

        Raises:
            UsageError: an argument has a value that it cannot have.
            CollectorRefused: they are recorded so already.
        """
        (spec,) = specs_of({"sample": True, "rate_hz": rate_hz, "keep_s": keep_s, "labels": labels or {}})
        answer = self._rpc.record_all(spec, name)
        return Everyone(answer.group, tuple(map(convert.session, answer.sessions)), tuple(answer.notes))

    def open_groups(self, labels: Mapping[str, str] | None = None) -> list[OpenGroup]:
        """Return the groups that processes come to, those of `record_all`, until they are stopped.

        Args:
            labels: that they have all, by key.
        """
        found = self._rpc.list_sessions(running_only=True, limit=1, labels=labels)
        return list(map(convert.open_group, found.open_groups))

    def sample_windows(
        self, session: Subject = "", *, interval_s: float = 1.0, stop_at_end: bool = False
    ) -> Generator[SampleWindow]:
        """Yield what a session of samples meets from now on, a window of time after the other, until it ends.

        The first has nothing in it, and says which session it is. To be closed by who does not read to its end.

        Args:
            session: which; "" the only one of samples that goes on.
            interval_s: how long a window is, 0.2 to 60 seconds.
            stop_at_end: the session is stopped when this ends, also where this process is killed; the duration of its
                attach counts until this begins.

        Raises:
            NotFound: no session of samples runs that is called so.
            UsageError: it is one of another collector.
        """
        interval_ms = milliseconds("interval_s", interval_s)
        told = self._rpc.sample_windows(name_of(session), interval_ms, stop_at_end=stop_at_end)
        with closing(told):
            yield from convert.sample_windows(told)
