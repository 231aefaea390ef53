"""The memory collector, Python form: the interpreter's own tracemalloc.

Where the program traces already it is joined, and left tracing.
"""

from __future__ import annotations

import _tracemalloc
import gc
import posix
import sys
from time import perf_counter_ns

from execd_agent.collectors import Refused, allocators
from execd_agent.collectors.reftracer import RefTracer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DEFAULT_MAX_BYTES = 32 << 20
_MOST_FRAMES = 65535
# What a block takes in the list of the traces, and in the tables of tracemalloc (1 million blocks on 3.9 to 3.13).
_LISTED_BYTES, _TABLED_BYTES = 180, 50
# The list is gone when the snapshot is made: for that instant it may take as much as the rest once more.
_TRANSIENT = 2
# To list it, with the GIL held: 280 to 630 of CPU time found for a million of them (3.9 to 3.15), and to free the list.
_BLOCK_NS = 700
_TOLD_NS = 100_000_000
# To look for the objects of a type, an allocated block: 340 to 650 of CPU time found for a million on 3.9 to 3.15, and
# up to 1,800 for types that the garbage collector does not know.
_SEARCHED_NS = 1_500


class Memory:
    """One memory session. options: nframe (frames a traceback), max_memory_bytes (for what a snapshot takes)."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._frames = int(options.get("nframe") or 1)
        self._limit_bytes = int(options.get("max_memory_bytes") or _DEFAULT_MAX_BYTES)
        self._joined = False
        self._allocators: Any = None
        self._tracer: Any = None
        self._caveats: list[str] = []
        self._peak_bytes = self._own_peak_bytes = 0
        self._started_ns = self._ended_ns = 0
        self._pid = posix.getpid()

    def start(self) -> list[str]:
        """Switch tracing on, or join it. Returns caveats. Raises Refused."""
        if not 1 <= self._frames <= _MOST_FRAMES:
            raise Refused("tracebacks have 1 to %d frames, not %d" % (_MOST_FRAMES, self._frames))
        self._joined = _tracemalloc.is_tracing()
        if self._joined:
            limit = _tracemalloc.get_traceback_limit()
            self._caveats.append("the program traces its memory itself, %d frames deep, and goes on doing so" % limit)
            if self._expected_pause_ns() > _TOLD_NS:
                text = "each snapshot of its %d or so blocks holds the program up for about %d ms"
                self._caveats.append(text % (self._count(), self._expected_pause_ns() // 1_000_000))
        else:
            self._switch_on()
        self._started_ns = perf_counter_ns()
        return self._caveats

    def _switch_on(self) -> None:
        found = None if allocators.stop_is_safe() else allocators.Allocators()
        self._tracer = RefTracer()
        _tracemalloc.start(self._frames)
        reason = "another tool is told of every object of the program" if self._tracer.started() else ""
        if found is not None and not found.find(_tracemalloc.get_traceback_limit()):
            reason = "this build of Python is not as others of its version"
        if reason:
            _tracemalloc.stop()
            self._tracer.stopped()
            raise Refused("tracemalloc cannot be started and stopped safely: " + reason)
        self._allocators = found

    @property
    def memory_bytes(self) -> int:
        """How much tracemalloc's tables take; nothing where they are the program's own."""
        return 0 if self._joined else _tracemalloc.get_tracemalloc_memory()

    def poll(self) -> None:
        """Nothing: new threads are traced like all others."""

    def snapshot(self) -> bytes:
        """Return the table of the blocks that live now."""
        from execd_agent.collectors.blocks import block_table  # noqa: PLC0415 - see table.py

        traces: Any = []
        extra, lost, caveats = self._facts(), {}, list(self._caveats)
        if not _tracemalloc.is_tracing():
            caveats.append("the program has switched its tracing off")
        if self._is_over_budget():
            lost = {"blocks that would take more memory to list than allowed": self._count()}
            text = "a list of the blocks would take %d MiB of the target's memory: allow it by --max-memory %dMB"
            caveats.append(text % (self._needed_bytes() >> 20, 1 + self._needed_bytes() // _TRANSIENT // 1000**2))
        else:
            began_ns = perf_counter_ns()
            traces = _tracemalloc._get_traces()
            extra["pause_ns"] = perf_counter_ns() - began_ns
            if extra["pause_ns"] > _TOLD_NS:
                caveats.append("this snapshot held the target up for %d ms" % (extra["pause_ns"] // 1_000_000))
        span_ns = (self._ended_ns or perf_counter_ns()) - self._started_ns
        header = {"span_ns": span_ns, "lost": lost, "caveats": caveats, "extra": extra}
        table = block_table(traces, header, self._limit_bytes)
        del traces
        self._forget_own_peak(extra["peak_bytes"])
        return table

    mark = snapshot

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Answer `execctl memory`: figures, after a reset of the peak or of all where asked, or where objects lie.

        Raises:
            Refused: the traces are the program's own, or there is nothing of that name.
        """
        what = question["what"]
        if what == "where":
            from execd_agent.collectors import whereabouts  # noqa: PLC0415 - for this question alone

            return whereabouts.find(question["name"], int(question["most"]))
        if what in ("reset_peak", "clear"):
            if self._joined:
                raise Refused("the traces are the program's own: it started tracemalloc itself")
            (_tracemalloc.reset_peak if what == "reset_peak" else _tracemalloc.clear_traces)()
            self._peak_bytes = 0
        return self._facts()

    def stop(self) -> None:
        """In a forked child: off. Else what is traced is still to be read; it goes off in `free`."""
        self._ended_ns = self._ended_ns or perf_counter_ns()
        if posix.getpid() != self._pid:
            self._switch_off(keep_tables=True)

    def free(self) -> None:
        """Switch tracing off, unless the program did it, or had it on before."""
        self._switch_off(keep_tables=False)

    def _switch_off(self, *, keep_tables: bool) -> None:
        if self._joined or not self._started_ns or not _tracemalloc.is_tracing():
            return
        if self._allocators is None:
            _tracemalloc.stop()
        else:
            self._allocators.take_off()
            if not keep_tables:
                self._allocators.with_flag(_tracemalloc.clear_traces)
        self._tracer.stopped()

    def _count(self) -> int:
        return _tracemalloc.get_tracemalloc_memory() // _TABLED_BYTES

    def _needed_bytes(self) -> int:
        return self._count() * _LISTED_BYTES

    def _is_over_budget(self) -> bool:
        return self._needed_bytes() > _TRANSIENT * self._limit_bytes

    def _expected_pause_ns(self) -> int:
        """Return how long a snapshot holds the program up; one that lists nothing does not."""
        return 0 if self._is_over_budget() else self._count() * _BLOCK_NS

    def _facts(self) -> dict[str, Any]:
        current, peak = _tracemalloc.get_traced_memory()
        if peak == self._own_peak_bytes:
            peak = current
        collected = {"collections": 0, "collected": 0, "uncollectable": 0}
        for generation in gc.get_stats():
            for name in collected:
                collected[name] += generation[name]
        return {
            "traced_bytes": current,
            "peak_bytes": max(peak, self._peak_bytes),
            "tracemalloc_bytes": _tracemalloc.get_tracemalloc_memory(),
            "traceback_limit": _tracemalloc.get_traceback_limit(),
            "joined": int(self._joined),
            "listed_blocks": self._count(),
            "expected_pause_ns": self._expected_pause_ns(),
            "allocated_blocks": sys.getallocatedblocks(),
            "expected_search_ns": sys.getallocatedblocks() * _SEARCHED_NS,
            "gc_enabled": int(gc.isenabled()),
            "gc_collections": collected["collections"],
            "gc_collected": collected["collected"],
            "gc_uncollectable": collected["uncollectable"],
        }

    def _forget_own_peak(self, peak_bytes: int) -> None:
        """Keep the peak that was, not what our own work on a snapshot made of it."""
        self._peak_bytes = max(self._peak_bytes, peak_bytes)
        if not self._joined:
            _tracemalloc.reset_peak()
        self._own_peak_bytes = _tracemalloc.get_traced_memory()[1] if self._joined else 0
