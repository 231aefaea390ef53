"""Feed: what a trace in one target hands over, into the log of each session that stands on it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from execd.attach.table import read_table
from execd.errors import ProfileCorrupt
from execd.model.collector import TRACE
from execd.model.profile import Header
from execd.sessions.stream.log import EventLog
from execd.sessions.stream.sources import TracedTexts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from execd.model.profile import Profile

# What one answer of the agent's carries at most (tracering.py).
MOST_TAKEN = 1 << 16
_MAX_FILES = 20_000


class Feed:
    """The events of one armed trace; its target's lock orders the calls.

    Attributes:
        received: the number of the agent's next event; what is sent again has smaller ones.
        is_complete: whether as many events were produced as were asked for.
        logs: by session.
        met: called with a part of the trace in which there are files that were not in it before.
    """

    def __init__(self, options: Mapping[str, object], pid: int) -> None:
        self.received = 0
        self.is_complete = False
        self.logs: dict[str, EventLog] = {}
        self.met: Callable[[Profile], object] = lambda _batch: None
        self._opened: dict[str, float] = {}
        self._now_ns = 0
        self._files: set[str] = set()
        self._caveats: tuple[str, ...] = ()
        self._sources = TracedTexts(pid)
        self._limit = options.get("limit_events")
        self._where = _where(options)

    @property
    def end(self) -> str:
        """Why the sessions are over, "" where they are not."""
        return f"ended after {self._limit} events, as asked" if self.is_complete else ""

    def open(self, session: str, now: float) -> None:
        """Let a session hear of what comes from now on, seconds since the epoch."""
        self.logs[session] = EventLog(self._sources.line, self._now_ns)
        self._opened[session] = now

    def close(self, session: str) -> None:
        """End the log of a session; those who follow it read it to its end."""
        self._opened.pop(session, None)
        log = self.logs.pop(session, None)
        if log is not None:
            log.close()

    def accept(self, bulk: bytes | bytearray, pid: int, limit_bytes: int) -> int:
        """Take over what an agent has sent, and return how many events were new.

        Args:
            bulk: a table of the collector trace.
            pid: of the target.
            limit_bytes: how much memory the table may come to.

        Raises:
            ProfileCorrupt: it breaks the rules of the table, or events are missing in between.
        """
        batch = read_table(bulk, _header(pid), pid, limit_bytes)
        first, base_ns, now_ns = (_figure(batch, name) for name in ("first", "base_ns", "now_ns"))
        skipped = self.received - first
        if not 0 <= skipped <= len(batch.parents):
            raise ProfileCorrupt(f"events from number {first} on, where number {self.received} comes next")
        for log in self.logs.values():
            log.add(batch, base_ns, skipped)
        self._tell_files(batch)
        self.received = first + len(batch.parents)
        self._now_ns, self._caveats = now_ns, batch.header.caveats
        self.is_complete = _figure(batch, "complete") == 1
        return len(batch.parents) - skipped

    def _tell_files(self, batch: Profile) -> None:
        files = {function.file for function in batch.functions}
        if not files <= self._files and len(self._files) < _MAX_FILES:
            self._files |= files
            self.met(batch)

    def profile(self, session: str, header: Header) -> Profile:
        """Return what a session has heard of."""
        return self.taken(session, header)()

    def taken(self, session: str, header: Header) -> Callable[[], Profile]:
        """Take what a session has heard of, and return what makes a profile of it, without the target's lock."""
        log = self.logs[session]
        nothing = [f"nothing ran {self._where}"] if self._where and not log.produced else []
        caveats = tuple(dict.fromkeys((*header.caveats, *self._caveats, *nothing)))
        return log.taken(replace(header, started_at=self._opened[session], caveats=caveats))


def _where(options: Mapping[str, object]) -> str:
    """Return what a trace is of alone, "" where it is of all: who misspelt it would see nothing."""
    words = {"function": "in a function called like", "thread": "in a thread of the name or number"}
    return " ".join(f"{word} {options[key]!a}" for key, word in words.items() if options.get(key))


def _figure(batch: Profile, name: str) -> int:
    figure = batch.header.extra.get(name)
    if not isinstance(figure, int):
        raise ProfileCorrupt(f"events without {name}")
    return figure


def _header(pid: int) -> Header:
    """Return what is said of a table that is a part of a profile."""
    return Header(TRACE.name, "", "", pid, (), "", 0.0, 0.0)
