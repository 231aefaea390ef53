"""EventLog: the newest events of one trace session, for its profile and for all who follow it, each at its own speed.

An event has a number: how many were produced with it since the session began, lost ones among them. A follower asks
for what comes after a number. It holds nothing up, and what it came too late for is one mark in what it gets.
"""

from __future__ import annotations

import threading
from array import array
from collections import deque
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from execd.errors import ProfileCorrupt
from execd.model.collector import TRACE, TraceKind
from execd.model.profile import BUILTIN_FILE, ROOT, Column, Function, Label, Location, Profile
from execd.sessions.stream.rows import Rows, mark, numbered, shifted

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from execd.model.profile import Header

# 25 bytes each; in a profile, where they are nodes, 36.
MAX_EVENTS = 1_000_000
# The oldest go so many at a time.
PART_EVENTS = 1 << 14
# Of functions, places and threads: a program of which 100,000 lines run takes half of them.
_MAX_NAMES = 200_000
_MAX_NAME_CHARACTERS = 32 << 20
# Threads beyond are shown as one.
_MAX_LABELS = 10_000
_OTHERS = "(further threads)"
_LOST = Function("(lost)", "(lost)", BUILTIN_FILE, 0)


class EventLog:
    """The events of one session. One thread calls `add`; the rest is for any.

    Args:
        source: returns a line of a file, "" where there is none.
        origin_ns: when the session began, on the agent's clock, which counts from the start of its collector.
        limit: how many events are kept.
    """

    def __init__(self, source: Callable[[str, int], str], origin_ns: int = 0, limit: int = MAX_EVENTS) -> None:
        self.source = source
        self.functions: list[Function] = [_LOST]
        self.locations: list[Location] = [Location(0, 0)]
        self.labels: list[Label] = []
        self._known: dict[Hashable, int] = {_LOST: 0, self.locations[0]: 0}
        self._name_characters = 0
        self._origin_ns = origin_ns
        self._limit = limit
        self._parts: deque[Rows] = deque()
        # How many are kept; how many were produced before them, and in all.
        self._count = self._passed = self._produced = 0
        self._changed = threading.Condition()
        self._closed = False

    @property
    def produced(self) -> int:
        """How many events there were, lost ones among them."""
        return self._produced

    @property
    def is_over(self) -> bool:
        """Whether no more events come."""
        return self._closed

    def add(self, batch: Profile, base_ns: int, skipped: int) -> None:
        """Add the events of a table of the agent's.

        Args:
            batch: a profile of the collector trace.
            base_ns: what its times count from, on the agent's clock.
            skipped: how many at its start are here already.

        Raises:
            ProfileCorrupt: its program has more names than any has.
        """
        functions = [self._number(self.functions, one) for one in batch.functions]
        moved = (Location(functions[one.function], one.line) for one in batch.locations)
        locations = [self._number(self.locations, one) for one in moved]
        labels = [self._label(one) for one in batch.labels]
        kinds = array("b", [min(kind, TraceKind.LOST) for kind in batch.column("kind")[skipped:]])
        rows = Rows(
            shifted(batch.column("time_ns")[skipped:], base_ns - self._origin_ns),
            kinds,
            array("i", map(locations.__getitem__, batch.node_locations[skipped:])),
            array("i", map(labels.__getitem__, batch.node_labels[skipped:])),
            numbered(kinds, batch.column("lost")[skipped:], self._produced),
        )
        with self._changed:
            self._append(rows)
            self._changed.notify_all()

    def close(self) -> None:
        """Say that no more comes."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def after(self, number: int, most: int, timeout_s: float) -> Rows | None:
        """Return the events after so many, at most `most`, None where none come in time; waits for the first."""
        with self._changed:
            if number >= self._produced and not self._closed:
                self._changed.wait(timeout_s)
            if number >= self._produced:
                return None
            if number < self._passed:
                return self._missing()
            part = next(part for part in self._parts if part.ends[-1] > number)
            return part.after(number, most)

    def taken(self, header: Header) -> Callable[[], Profile]:
        """Take a copy of what is kept, and return what makes a profile of it: without this log, in its own time."""
        with self._changed:
            parts = [self._missing()] if self._passed else []
            rows = Rows()
            for part in (*parts, *self._parts):
                rows.extend(part)
            names = tuple(self.functions), tuple(self.locations), tuple(self.labels) or (Label(0, "", header.pid),)
            return partial(_profile, header, rows, names, self._passed)

    def _append(self, rows: Rows) -> None:
        if not rows:
            return
        if self._parts and len(self._parts[-1]) < PART_EVENTS:
            self._parts[-1].extend(rows)
        else:
            self._parts.append(rows)
        self._count += len(rows)
        self._produced = rows.ends[-1]
        while self._count > self._limit and len(self._parts) > 1:
            oldest = self._parts.popleft()
            self._count -= len(oldest)
            self._passed = oldest.ends[-1]

    def _missing(self) -> Rows:
        return mark(self._parts[0].times[0], self._passed)

    def _number(self, table: list[Function] | list[Location], one: Function | Location) -> int:
        number = self._known.get(one)
        if number is None:
            number = self._known[one] = len(table)
            table.append(one)  # type: ignore[arg-type]
            if isinstance(one, Function):
                self._name_characters += len(one.name) + len(one.qualname) + len(one.file)
            if len(self._known) > _MAX_NAMES or self._name_characters > _MAX_NAME_CHARACTERS:
                raise ProfileCorrupt("a trace with more names than a program has")
        return number

    def _label(self, label: Label) -> int:
        number = self._known.get(label)
        if number is None:
            if len(self.labels) == _MAX_LABELS:
                return _MAX_LABELS - 1
            number = self._known[label] = len(self.labels)
            self.labels.append(label if number < _MAX_LABELS - 1 else replace(label, thread_id=0, thread_name=_OTHERS))
        return number


def _profile(
    header: Header,
    rows: Rows,
    names: tuple[tuple[Function, ...], tuple[Location, ...], tuple[Label, ...]],
    passed: int,
) -> Profile:
    """Return rows as nodes in the order of the events, and in the header how many are missing."""
    functions, locations, labels = names
    lost = rows.lost(0)
    figures = (rows.times, array("q", rows.kinds), array("q", lost))
    columns = zip(TRACE.columns, figures, strict=True)
    return Profile(
        header=replace(header, lost=_losses(passed, sum(lost) - passed)),
        functions=functions,
        locations=locations,
        labels=labels,
        parents=array("i", [ROOT]) * len(rows),
        node_locations=rows.locations,
        node_labels=rows.labels,
        columns=tuple(Column(name, unit, values) for (name, unit), values in columns),
    )


def _losses(older: int, too_fast: int) -> dict[str, int]:
    found = {"events older than those that are kept": older, "events that came too fast": too_fast}
    return {reason: count for reason, count in found.items() if count}
