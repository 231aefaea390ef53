"""What recordings of calls cost their targets: looked at from time to time, and told when somebody asks."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from execd.errors import AgentSilent, ExecdError, UsageError
from execd.model.collector import CALLS
from execd.model.overhead import Counts, Look, Overhead, Prices, overhead_between

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from execd.attach.corecounts import CoreCounts
    from execd.sessions.armed import Armed, Running
    from execd.sessions.live import LiveTarget

# What is told is of so long, where it was recorded that long.
SPAN_S: Final = 1.0
# What is expected is told after so long, by what was counted until then.
COUNT_S: Final = 0.1
# For the prices, which the agent measures when it is asked for the first time.
_PATIENCE_S: Final = 0.15
_LEAST_SPAN_S: Final = 0.05
# Of a span: looks do not come on the dot.
_ALMOST: Final = 0.9
_KEPT: Final = 64
# CPUCLOCK_SCHED of a process: what all of its threads have taken, ns.
_CPU_CLOCK: Final = 2
_MOST_LIMIT: Final = 10.0


class Gauge:
    """The looks at one recording, from its start on. For any thread.

    Args:
        pid: of the process.
        counted: returns what was recorded until now, None where that cannot be read now.
        clock: of the looks, s.
        cpu_ns: returns the CPU time that a process has taken, ns; raises OSError where there is none.
    """

    def __init__(
        self,
        pid: int,
        counted: Callable[[], CoreCounts | None],
        clock: Callable[[], float] = time.monotonic,
        cpu_ns: Callable[[int], int] | None = None,
    ) -> None:
        self._pid = pid
        self.counted = counted
        self._clock = clock
        self._cpu_ns = cpu_ns or process_cpu_ns
        self._lock = threading.Lock()
        self._looks: deque[Look] = deque(maxlen=_KEPT)
        self.prices: Prices | None = None
        # The latest look, with what it found by function where that is known.
        self.latest: tuple[Look, CoreCounts | None] | None = None
        self.began_s = clock()
        self.take(Counts())

    def look(self) -> None:
        """Look once more; nothing comes of it where nothing can be read, or the process has ended."""
        try:
            found = self.counted()
        except ExecdError:
            return
        if found is not None:
            self.take(found.total, found)

    def hear(self, said: object) -> None:
        """Take over what an agent tells: prices, and of a form whose events it counts itself how many there were."""
        if not isinstance(said, dict):
            return
        self.prices = Prices.read(said.get("prices")) or self.prices
        counts = Counts.read(said.get("counts"))
        if counts is not None:
            self.take(counts)

    def take(self, counts: Counts, by_function: CoreCounts | None = None) -> None:
        """Take down what was recorded until now; nothing where the process has ended."""
        try:
            taken = Look(self._clock(), self._cpu_ns(self._pid), counts)
        except OSError:
            return
        with self._lock:
            self._looks.append(taken)
            self.latest = taken, by_function

    def now(self, span_s: float = SPAN_S) -> Overhead | None:
        """Return what the recording has cost of late, by the looks that there are; None before there are two.

        Args:
            span_s: of how long, where it was recorded that long.
        """
        with self._lock:
            looks = list(self._looks)
        if not looks:
            return None
        ages = [(looks[-1].at_s - one.at_s, one) for one in looks]
        far = [one for one in reversed(ages) if one[0] >= _LEAST_SPAN_S]
        if not far:
            return None
        _, earlier = next((one for one in far if one[0] >= span_s * _ALMOST), far[-1])
        return overhead_between(earlier, looks[-1], self.prices)


def process_cpu_ns(pid: int) -> int:
    """Return the CPU time that a process has taken, ns. Raises OSError where there is none."""
    return time.clock_gettime_ns(~pid << 3 | _CPU_CLOCK)


def limit_of(options: Mapping[str, object]) -> float | None:
    """Return the share that the overhead of a recording may have, None without one.

    Raises:
        UsageError: it is none, or what an event costs is not to be measured.
    """
    limit = options.get("max_overhead")
    if limit is None:
        return None
    if type(limit) not in (int, float) or not 0 < limit <= _MOST_LIMIT:  # type: ignore[operator]
        raise UsageError(
            f"an overhead of {ascii(limit)[:50]}: it is a share above 0, {_MOST_LIMIT:g} at most", remedy="0.2 is 20%"
        )
    for option in ("bias", "timer"):
        if options.get(option, "auto") != "auto":
            raise UsageError(
                f"the overhead has a limit, and with {option} nobody measures what an event costs",
                remedy=f"leave {option} out, or the limit",
            )
    return float(limit)  # type: ignore[arg-type]


def gauge_of(armed: Armed, pid: int) -> Gauge | None:
    """Return what looks at a recording that has just begun, None of what is no call's."""
    return Gauge(pid, armed.counted) if armed.collector == CALLS.name else None


def hear(armed: Armed, costs: object) -> None:
    """Take over what the agent tells of the costs of what is armed, by its key, and look at it."""
    if armed.gauge is not None:
        armed.gauge.hear(costs.get(armed.key) if isinstance(costs, dict) else None)
        armed.gauge.look()


def of_running(running: Running) -> Overhead | None:
    """Return what a session costs its target now, None where that is not known."""
    gauge = running.armed.gauge
    if gauge is None:
        return None
    gauge.look()
    return gauge.now()


def expected(live: LiveTarget, running: Running) -> Overhead | None:
    """Return what a session is going to cost, by what was counted in its first 100 ms, for which this waits.

    None where that cannot be told soon: the target does not answer, or others wait for it.
    """
    gauge = running.armed.gauge
    if gauge is None:
        return None
    time.sleep(max(gauge.began_s + COUNT_S - time.monotonic(), 0.0))
    if gauge.prices is None and live.lock.acquire(timeout=_PATIENCE_S):
        try:
            if not live.gone:
                live.ping(_PATIENCE_S)
        except (AgentSilent, OSError):
            return None
        finally:
            live.lock.release()
    return of_running(running)
