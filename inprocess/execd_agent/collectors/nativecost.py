"""What one event costs that the core hears; see eventcost.py."""

from __future__ import annotations

from execd_agent.collectors.eventcost import CALLS, TIMED, EventCosts
from execd_agent.collectors.prices import kinds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


# Far more than a row has, and than are timed each: some are, as in a program.
_SOME = 1 << 20
# A row has some 350 handlers, and of these some 27 are timed.
_TIMED_ROWS = 8


class NativeCosts(EventCosts):
    """What events of one recording cost.

    Args:
        calls: the recording.
        core: the core's module.
        handlers, builtins: as for EventCosts.
    """

    price_calls = 150
    # Measured: benchmarks/bench_overhead.py.
    dearer = 1.0

    def __init__(self, calls: Any, core: Any, handlers: Any, *, builtins: bool) -> None:
        super().__init__(calls, handlers, builtins=builtins)
        self._core = core

    def _hear(self, *, on: bool) -> None:
        """Have the calling thread told of its events as others are, or no more (3.9 to 3.11).

        Raises:
            ValueError: somebody hears of audit events; what they raise the interpreter would print as the program's.
        """
        from execd_agent.collectors.threadstates import is_audited  # noqa: PLC0415 - what 3.12 does not need

        if on and is_audited():
            raise ValueError("the program has audit hooks")
        self._core.hear(on)

    def _kinds(self, *, builtins: bool) -> tuple[str, ...]:
        """Return the loops that tell prices; here it matters what processor and core foresee."""
        others = [kind for kind in kinds(builtins=builtins) if kind not in ("python", "c")]
        return ("tree", *others, *(("two", "method") if builtins else ()))

    def _timed_ns(self, row: Any, turns: range) -> float:
        """Return what a handler takes in rows of calls after it read its clock, the mean of those that are timed."""
        rows = [self._aloud(self._core.rehearse, row, turns, _SOME) for _ in range(_TIMED_ROWS)]
        nodes = [node for row in rows for node in row]
        timed = sum([node[3] for node in nodes])
        return sum([node[4] for node in nodes]) / timed if timed else 0.0

    def _recorded(
        self, row: Any, key: object, timed: list[float] | None = None, turns: range = CALLS
    ) -> tuple[float, float] | None:
        """Record a row of calls as EventCosts does."""
        nodes = self._core.rehearse(row, turns, TIMED if timed is not None else 0)
        own, below = [*nodes, (0, 0.0, 0, 0, 0.0), (0, 0.0, 0, 0, 0.0)][:2]
        if key == ():
            return sum([node[1] for node in nodes[1:]]), own[1]
        if timed is not None:
            timed += [figures[4] / (figures[3] or 1) for figures in (below, own)]
        calls, own_ns, uncounted, _, _ = own
        is_whole = calls == 1 and (below[0] or uncounted // 2) == len(turns)
        return (below[1], own_ns) if is_whole else None
