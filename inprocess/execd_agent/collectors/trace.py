"""The trace collector, Python form: each line and each call of every thread, in their order, handed over as they come.

Options: function (a pattern of names), thread (a name or a number), limit_events, ignore_modules, ignore_dirs,
max_memory_bytes. What a code object's or a thread's events are worth is decided once.
"""

from __future__ import annotations

import sys
from time import perf_counter_ns, thread_time_ns

from execd_agent import compat
from execd_agent.collectors.glob import matches
from execd_agent.collectors.selection import Selection
from execd_agent.collectors.subscription import Subscription
from execd_agent.collectors.tracering import Ring, make_recorder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any

_DEFAULT_MAX_BYTES = 32 << 20
# Of one core, by the agent's thread; the daemon ends sessions that take 5%, and looks for new threads cost some.
_TAKEN_SHARE = 0.04


class Trace:
    """One trace: see above for its options."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._function = str(options.get("function") or "")
        self._thread = str(options.get("thread") or "")
        limit = options.get("limit_events")
        self._selection = Selection(options)
        max_bytes = int(options.get("max_memory_bytes") or _DEFAULT_MAX_BYTES)
        self._ring = Ring(
            perf_counter_ns, max_bytes, None if limit is None else int(limit), self._is_wanted, self._is_wanted_thread
        )
        self._subscription = Subscription(
            self._handlers, wants=self._wants, disabled=lambda: self._ring.unwanted, force=bool(options.get("force"))
        )
        self._started_ns = perf_counter_ns()
        self._ended_ns = 0
        # When events may be taken again, see `take`.
        self._due_ns = 0

    def start(self) -> list[str]:
        """Arm every thread but the calling one. Returns caveats. Raises Refused."""
        self._ring.local.thread = None
        self._started_ns = perf_counter_ns()
        return self._subscription.install()

    @property
    def memory_bytes(self) -> int:
        """About how much memory the events that were not handed over take, and the names of their places."""
        return self._ring.used_bytes

    def poll(self) -> None:
        """Look for threads that nothing told us of."""
        self._subscription.poll()

    def take(self, received: int, *, is_paced: bool = False) -> bytes:
        """Return the events from number `received` on that there are by now, as many as one answer has.

        Those that are paced take a small share of a core together: where one comes too early there are none in it.
        """
        now_ns, began_ns = perf_counter_ns(), thread_time_ns()
        table = self._table(self._ring.hold(received, is_due=not is_paced or now_ns >= self._due_ns))
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + int((thread_time_ns() - began_ns) / _TAKEN_SHARE)
        return table

    def snapshot(self) -> bytes:
        """Return all events that are not known to have been received; they stay."""
        return self._table(self._ring.rest())

    mark = snapshot

    def stop(self) -> None:
        """Disarm. What was not handed over stays until `free`."""
        if not self._ended_ns:
            self._subscription.remove()
            self._ended_ns = perf_counter_ns()

    def free(self) -> None:
        """Let go of what was recorded; after `stop`."""
        self._ring.free()

    def _table(self, events: list[Any]) -> bytes:
        from execd_agent.collectors.tracetable import encode_events  # noqa: PLC0415 - not needed to arm

        span_ns = (self._ended_ns or perf_counter_ns()) - self._started_ns
        extra = {"complete": int(self._ring.is_complete), "now_ns": span_ns}
        header = {"span_ns": span_ns, "lost": {}, "caveats": list(self._subscription.caveats), "extra": extra}
        return encode_events(self._ring, events, header, self._started_ns)

    def _handlers(self, _depth: int, disable: Any) -> dict[str, Any]:
        record = make_recorder(self._ring, sys._getframe, disable)

        def enter(code: CodeType, _offset: int = 0, _thrown: object = None) -> Any:
            return record(code, 0)

        return {"line": record, "enter": enter}

    def _wants(self, code: CodeType, frame: FrameType) -> bool:
        codes: Any = self._ring.codes
        rows = codes.get(id(code), codes)
        return (self._ring.begin_code(code, frame) if rows is codes else rows) is not None

    def _is_wanted(self, code: CodeType, frame: FrameType | None) -> bool:
        if not self._selection.wants(code, frame):
            return False
        qualname = code.co_qualname if compat.HAS_QUALNAME else code.co_name
        return not self._function or matches(code.co_name, self._function) or matches(qualname, self._function)

    def _is_wanted_thread(self, ident: int, name: str) -> bool:
        return not self._thread or self._thread in (name, str(ident))
