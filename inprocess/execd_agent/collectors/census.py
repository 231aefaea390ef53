"""The census collector: how many live objects of each type there are, and what they take.

It is taken by `start`, in steps between which the program's threads run; the snapshot is that result.
"""

from __future__ import annotations

import gc
import sys
from time import perf_counter_ns

from execd_agent.collectors import NeedsConsent, Refused
from execd_agent.collectors.objects import (
    PATIENCE_NS,
    Objects,
    Sizes,
    are_of,
    by_type,
    names_of,
    traces_memory,
    types_named,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DEFAULT_MAX_BYTES = 32 << 20
# Of the interpreter's time, an allocated block: 280 to 420 found for a million on 3.9 to 3.15, and up to 350 more.
_BLOCK_NS = 500
_REFERRERS_NS = 350
# More where tracemalloc is on: 200 to 800 with 5 frames.
_TRACED_NS = 1_000
# In the list of all containers. It is gone when the census is: it may take as much as the rest once more.
_LISTED_BYTES, _TRANSIENT = 8, 2
_ASKED_MS = 500
_MOST_REFERRERS = 900
_TOGETHER = 50
_UNFOLLOWED = "references of objects without containers over the memory limit"
_UNSEEN = "containers that were not looked at within %d s" % (PATIENCE_NS // 1_000_000_000)


class Census:
    """One census. options: confirmed (of a long one), referrers (a type: who refers to it), max_memory_bytes."""

    memory_bytes = 0

    def __init__(self, options: dict[str, Any]) -> None:
        self._confirmed = bool(options.get("confirmed"))
        self._referrers = str(options.get("referrers") or "")
        self._kinds = types_named(self._referrers) if self._referrers else []
        self._limit_bytes = int(options.get("max_memory_bytes") or _DEFAULT_MAX_BYTES)
        # By a type's number: the type, and how many objects and bytes; the same of those that refer.
        self._figures: dict[int, tuple[type, list[int]]] = {}
        self._referring: dict[int, tuple[type, list[int]]] = {}
        self._extra: dict[str, Any] = {}
        self._span_ns = 0
        self._lost: dict[str, int] = {}

    def start(self) -> list[str]:
        """Take it. Returns caveats. Raises NeedsConsent, Refused over the memory limit or for unknown `referrers`."""
        blocks = sys.getallocatedblocks()
        if blocks * _LISTED_BYTES > _TRANSIENT * self._limit_bytes:
            text = "a list of up to %d objects takes %d MiB of the target's memory: allow it by --max-memory %dMB"
            needed_mib = blocks * _LISTED_BYTES >> 20
            raise Refused(text % (blocks, needed_mib, 1 + needed_mib // _TRANSIENT))
        expected_ms = blocks * self._block_ns() // 1_000_000
        if expected_ms > _ASKED_MS and not self._confirmed:
            text = "a census of up to %d objects takes about %.1f s of the interpreter's time from the target"
            raise NeedsConsent(text % (blocks, expected_ms / 1000))
        began_ns = perf_counter_ns()
        self._count()
        self._span_ns = perf_counter_ns() - began_ns
        if self._referrers and not any(id(kind) in self._figures for kind in self._kinds):
            raise Refused("no live object is of a type " + self._referrers)
        self._extra.update(expected_ms=expected_ms, taken_ms=self._span_ns // 1_000_000)
        return ["counted in steps while the program ran: objects made meanwhile are not in it"]

    def _block_ns(self) -> int:
        return _BLOCK_NS + (_REFERRERS_NS if self._referrers else 0) + (_TRACED_NS if traces_memory() else 0)

    def _count(self) -> None:
        objects, sizes, figures = Objects(self._limit_bytes), Sizes(), self._figures
        for step in objects.steps():
            for kind, same in by_type(step):
                _, row = figures.setdefault(id(kind), (kind, [0, 0]))
                row[0] += len(same)
                row[1] += sizes.total(kind, same)
            if self._kinds:
                self._count_referrers(step)
        self._lost = {
            reason: count for reason, count in ((_UNFOLLOWED, objects.unfollowed), (_UNSEEN, objects.unseen)) if count
        }

    def _count_referrers(self, step: list[Any]) -> None:
        # Mostly none of some refers to one of the type.
        for start in range(0, len(step), _TOGETHER):
            some = step[start : start + _TOGETHER]
            if self._refers(some):
                for one in filter(self._refers, zip(some)):
                    _, row = self._referring.setdefault(id(type(*one)), (type(*one), [0]))
                    row[0] += 1

    def _refers(self, objects: Any) -> bool:
        """Tell whether one of some objects refers to one of the wanted types."""
        found = gc.get_referents(*objects)
        return any(any(are_of(kind, found)) for kind in self._kinds)

    def poll(self) -> None:
        """Nothing: it is over when it has begun."""

    def snapshot(self) -> bytes:
        """Return the table: a node a type."""
        from execd_agent.collectors.table import Table  # noqa: PLC0415 - see there

        table = Table(("objects", "bytes"))
        label = table.label()
        for kind, (count, size) in self._figures.values():
            module, name = names_of(kind)
            function = table.function(id(kind), name.rpartition(".")[2], name, module, 0)
            table.add(-1, table.location(function), label, (count, size))
        referring = sorted(self._referring.values(), key=lambda item: -item[1][0])[:_MOST_REFERRERS]
        lines = ["%d %s" % (count, ".".join(names_of(kind))) for kind, (count,) in referring]
        extra = {**self._extra, "referrers_of": self._referrers, "referrers": lines}
        header = {"span_ns": self._span_ns, "lost": self._lost, "caveats": [], "extra": extra}
        return table.encode(header)

    mark = snapshot

    def stop(self) -> None:
        """Nothing: it is over."""

    def free(self) -> None:
        """Let go of what was counted: it holds types of the program's."""
        self._figures.clear()
        self._referring.clear()
