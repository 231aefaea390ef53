"""The census collector: how many live objects of each type there are, and what they take.

It is taken by `start`, in steps between which the program's threads run; the snapshot is that result.
"""

from __future__ import annotations

import gc
import sys
from time import perf_counter_ns

from execd_agent.collectors import NeedsConsent, Refused
from execd_agent.collectors.objects import Objects, Sizes, is_named, names_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DEFAULT_MAX_BYTES = 32 << 20
# Of the interpreter's time, an allocated block: 630 to 1,380 and 290 to 340 found for a million objects on 3.9 to 3.13.
_BLOCK_NS = 1_000
_REFERRERS_NS = 350
# More where tracemalloc is on: 2,200 to 8,500 with 5 frames on 3.9 to 3.13.
_TRACED_NS = 9_000
_ASKED_MS = 500
_MOST_REFERRERS = 900


class Census:
    """One census. options: confirmed (of a long one), referrers (a type: who refers to it), max_memory_bytes."""

    memory_bytes = 0

    def __init__(self, options: dict[str, Any]) -> None:
        self._confirmed = bool(options.get("confirmed"))
        self._referrers = str(options.get("referrers") or "")
        self._limit_bytes = int(options.get("max_memory_bytes") or _DEFAULT_MAX_BYTES)
        # By a type's number: the type, and how many objects and bytes; the same of those that refer.
        self._figures: dict[int, tuple[type, list[int]]] = {}
        self._referring: dict[int, tuple[type, list[int]]] = {}
        self._extra: dict[str, Any] = {}
        self._span_ns = 0
        self._lost: dict[str, int] = {}

    def start(self) -> list[str]:
        """Take it. Returns caveats. Raises NeedsConsent, or Refused where no type has the name of `referrers`."""
        blocks = sys.getallocatedblocks()
        expected_ms = blocks * self._block_ns() // 1_000_000
        if expected_ms > _ASKED_MS and not self._confirmed:
            text = "a census of up to %d objects takes about %.1f s of the interpreter's time from the target"
            raise NeedsConsent(text % (blocks, expected_ms / 1000))
        began_ns = perf_counter_ns()
        self._count()
        self._span_ns = perf_counter_ns() - began_ns
        if self._referrers and not any(is_named(kind, self._referrers) for kind, _ in self._figures.values()):
            raise Refused("no live object is of a type " + self._referrers)
        self._extra.update(expected_ms=expected_ms, taken_ms=self._span_ns // 1_000_000)
        return ["counted in steps while the program ran: objects made meanwhile are not in it"]

    def _block_ns(self) -> int:
        return _BLOCK_NS + (_REFERRERS_NS if self._referrers else 0) + (_TRACED_NS if _traces_memory() else 0)

    def _count(self) -> None:
        objects, sizes, figures = Objects(self._limit_bytes), Sizes(), self._figures
        for step in objects.steps():
            for (number, size), count in sizes.counted(step).items():
                _, row = figures.setdefault(number, (sizes.kind(number), [0, 0]))
                row[0] += count
                row[1] += count * size
            if self._referrers:
                self._count_referrers(step)
        self._lost = {"references to objects over the memory limit": objects.unfollowed} if objects.unfollowed else {}

    def _count_referrers(self, step: list[Any]) -> None:
        wanted: dict[int, tuple[type, bool]] = {}
        for one in step:
            for other in gc.get_referents(one):
                kind = type(other)
                if id(kind) not in wanted:
                    wanted[id(kind)] = kind, is_named(kind, self._referrers)
                if wanted[id(kind)][1]:
                    _, row = self._referring.setdefault(id(type(one)), (type(one), [0]))
                    row[0] += 1
                    break

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


def _traces_memory() -> bool:
    """Tell whether somebody has tracemalloc on; without an import where nobody has."""
    tracing = sys.modules.get("_tracemalloc")
    return tracing is not None and bool(tracing.is_tracing())
