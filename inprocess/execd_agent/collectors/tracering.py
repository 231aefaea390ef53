"""The ring between the threads that are traced and the agent's thread, which hands over what they did.

An event is three items of one flat list, (time_ns, row, thread), added by one C function: two threads cannot mix
theirs, and the agent takes them away from the other end. What finds no room is counted; the count takes its place in
the row of events as soon as there is room again. So what was produced is what was handed over and what was counted.
"""

from __future__ import annotations

import itertools

from execd_agent import originals
from execd_agent.collectors.calltree import code_bytes, thread_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any

ITEMS = 3
# The row of an event that stands for so many lost ones: their number is where a thread stands in others.
LOST = 0
# Three references and the integer of the time, measured with sys.getsizeof.
EVENT_BYTES = 3 * 8 + 32
# A line's entry in the dict of its code and in the list of rows, with its integer and its tuple.
ROW_BYTES = 200
# A quarter of a million; a daemon that comes each tenth of a second leaves it nearly empty.
_MOST_EVENTS = 1 << 18
# What one answer hands over; it takes some 20 ms to pack.
MOST_TAKEN = 1 << 16


class Ring:
    """The events that were not handed over yet, and the places that they name.

    Args:
        clock: nanoseconds.
        max_bytes: memory for events and places together.
        limit: how many events there are to be in all, lost ones among them; None for no limit.
        accepts_code: whether a code object's events are wanted; asked once for each.
        accepts_thread: whether a thread's are, by its number and name; asked once for each.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        max_bytes: int,
        limit: int | None,
        accepts_code: Callable[[CodeType, FrameType | None], bool],
        accepts_thread: Callable[[int, str], bool],
    ) -> None:
        self.clock = clock
        self.local = originals.thread_local()
        self.limit = limit
        self.is_complete = limit == 0
        self.events: list[Any] = []
        self.room = min(_MOST_EVENTS, max(max_bytes // 2 // EVENT_BYTES, 1)) * ITEMS
        # By a code object's id: its rows by line, 0 for its calls; None where it is not wanted.
        self.codes: dict[int, dict[int, int] | None] = {}
        # Row to (code object, line), which keeps the code object alive, and with it its id.
        self.rows: list[tuple[CodeType | None, int]] = [(None, 0)]
        self._kept: list[CodeType] = []
        self.unwanted: list[CodeType] = []
        self._place_bytes = 0
        self._most_place_bytes = max_bytes // 2
        self._accepts_code = accepts_code
        self._accepts_thread = accepts_thread
        self.serials = itertools.count()
        self.dropped = itertools.count()
        self._drops_told = 0
        # How often `dropped` was read, which counts as well.
        self._reads = 0
        self.first = 0
        self.held: list[Any] = []
        self._adding = originals.new_lock()

    @property
    def used_bytes(self) -> int:
        """About how much memory events and places take."""
        return self._place_bytes + (len(self.events) + len(self.held)) // ITEMS * EVENT_BYTES

    def begin_thread(self, frame: FrameType) -> Any:
        """Decide on the calling thread; returns what stands for it in its events, None where they are not wanted."""
        ident = originals.current_thread_id()
        name = thread_name(ident, frame)
        self.local.thread = (ident, name) if self._accepts_thread(ident, name) else None
        return self.local.thread

    def begin_code(self, code: CodeType, frame: FrameType | None = None) -> dict[int, int] | None:
        """Decide on a code object; returns its rows, None where its events are not wanted.

        Without one of its frames it is looked for on the calling thread's stack.
        """
        rows: dict[int, int] | None = {} if self._accepts_code(code, frame) else None
        size = code_bytes(code)
        if self._place_bytes + size <= self._most_place_bytes:
            self._place_bytes += size
            (self._kept if rows is not None else self.unwanted).append(code)
            return self.codes.setdefault(id(code), rows)
        return rows

    def begin_row(self, code: CodeType, rows: dict[int, int], line: int) -> int | None:
        """Return a new row, None where the memory limit is reached."""
        with self._adding:
            row = rows.get(line)
            if row is not None:
                return row
            if id(code) not in self.codes or self._place_bytes + ROW_BYTES > self._most_place_bytes:
                return None
            self._place_bytes += ROW_BYTES
            self.rows.append((code, line))
            rows[line] = len(self.rows) - 1
            return rows[line]

    def hold(self, received: int, *, is_due: bool = True) -> list[Any]:
        """Forget the events before number `received`, and return those that come next, as many as one answer has.

        An answer may not have arrived: its events are held until a later request says that they have. Where it is not
        due no others are returned.
        """
        self._forget(received)
        if not self.held and is_due:
            count = min(len(self.events), MOST_TAKEN * ITEMS)
            self.held = self.events[:count]
            del self.events[:count]
            self._mark_lost()
        return self.held

    def rest(self) -> list[Any]:
        """Return all events that are not known to have arrived; with all hooks off."""
        self._mark_lost()
        return self.held + self.events

    def free(self) -> None:
        """Let go of everything."""
        self.events.clear()
        self.held.clear()
        self.codes.clear()
        self.rows.clear()
        self._kept.clear()
        self.unwanted.clear()

    def _forget(self, received: int) -> None:
        count = min(max(received - self.first, 0), len(self.held) // ITEMS)
        del self.held[: count * ITEMS]
        self.first += count

    def _mark_lost(self) -> None:
        drops = self.dropped.__next__() - self._reads
        self._reads += 1
        if drops > self._drops_told:
            self.events.extend((self.clock(), LOST, drops - self._drops_told))
            self._drops_told = drops


def make_recorder(ring: Ring, own_frames: Callable[[int], FrameType], disable: Any) -> Callable[..., Any]:
    """Return what records an event: it takes a code object and a line, 0 for a call.

    It runs in the target's threads and raises nothing. It returns `disable` for code whose events are not wanted.

    Args:
        ring: where to.
        own_frames: sys._getframe.
        disable: what to return for such code.
    """
    clock, local, events = ring.clock, ring.local, ring.events
    codes: Any = ring.codes
    extend, dropped, room = events.extend, ring.dropped, ring.room
    begin_thread, begin_code, begin_row = ring.begin_thread, ring.begin_code, ring.begin_row
    serials, limit = ring.serials, ring.limit

    def record(code: CodeType, line: int) -> Any:
        now = clock()
        try:
            thread = local.thread
        except AttributeError:
            thread = begin_thread(own_frames(0))
        rows = codes.get(id(code), codes)
        if rows is codes:
            rows = begin_code(code)
        if rows is None:
            # One that is not remembered could not be named to those who hear of it later.
            return disable if id(code) in codes else None
        if thread is None:
            return None
        row = rows.get(line) or begin_row(code, rows, line)
        serial = serials.__next__() if limit is not None else -1
        if limit is not None and serial >= limit:
            return None
        if row is not None and len(events) < room:
            extend((now, row, thread))
        else:
            dropped.__next__()
        if serial + 1 == limit:
            ring.is_complete = True
        return None

    return record
