"""What recordings of calls cost their targets: looked at from time to time, and told when somebody asks."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from execd.attach import process
from execd.attach.corecounts import functions_at, off_in, read_counts
from execd.errors import ExecdError, UsageError
from execd.model.collector import CALLS
from execd.model.lines.names import version_of
from execd.model.overhead import Counts, FunctionCounts, Look, Prices, SwitchedOff, overhead_between
from execd.model.usualprices import usual_prices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from execd.attach.corecounts import CoreCounts
    from execd.model.overhead import Overhead
    from execd.model.target import Target
    from execd.sessions.armed import Armed, Running
    from execd.sessions.live import LiveTarget

# What is told is of so long, where it was recorded that long.
SPAN_S: Final = 1.0
# What is expected is told after so long, by what was counted until then.
COUNT_S: Final = 0.1
# For the prices, which the agent measures when it is asked for the first time.
_PATIENCE_S: Final = 0.15
_LEAST_SPAN_S: Final = 0.05
# What is older says nothing of now.
_OF_LATE_S: Final = 5.0
# Of a program that used less in a span, by chance it is not what it usually is.
_LITTLE_CPU_NS: Final = 50_000_000
# How dear events are is told of so long: of one second it would jump where the machine has much to do.
_DEARER_S: Final = 10.0
# How long what a recording costs may be unknown, by what its process answers, where it has a limit.
_UNKNOWN_S: Final = 5.0
# What looks at a recording take of our time, of one processor.
_MOST_OF_TIME: Final = 0.02
_TOO_LARGE: Final = "its call tree has too many places to count its events"
# Of a span: looks do not come on the dot.
_ALMOST: Final = 0.9
_KEPT: Final = 64
# CPUCLOCK_SCHED of a process: what all of its threads have taken, ns.
_CPU_CLOCK: Final = 2
_MOST_LIMIT: Final = 10.0
# The first version that need not be told of all functions.
SWITCHES_OFF: Final = (3, 12)


class Gauge:
    """The looks at one recording, from its start on, and what was switched off in it. For any thread.

    Args:
        pid: of the process.
        copied: returns a copy of a core's tables as they are now; None where none can be read.
        limit: of the share; None without one.
        clock: of the looks, s.
        cpu_ns: returns the CPU time that the program has taken in a process, ns; raises OSError or an ExecdError where
            it cannot be told.
        worked_s: returns the CPU time that the calling thread has taken, s.
        usual: prices where the agent cannot measure them; None without any.
    """

    def __init__(
        self,
        pid: int,
        copied: Callable[[], bytes] | None,
        limit: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        cpu_ns: Callable[[int], int] | None = None,
        worked_s: Callable[[], float] = time.thread_time,
        usual: Prices | None = None,
    ) -> None:
        self._pid = pid
        self._copied = copied
        self._limit = limit
        self._clock = clock
        self._cpu_ns = cpu_ns or process_cpu_ns
        self._worked_s = worked_s
        self._usual = usual
        # Of one look, from the copy on; the other one is of what was found, and nobody holds it for long.
        self._looking = threading.Lock()
        self._lock = threading.Lock()
        self._looks: deque[Look] = deque(maxlen=_KEPT)
        self.prices: Prices | None = None
        # Whether the agent measures at the next ping what an event costs.
        self.measures = True
        # The share of the time that is recorded, and of how long it is told what that costs, at least.
        self.recorded, self.span_s = 1.0, SPAN_S
        # The latest look, with what it found by function where that is known and there is a limit.
        self.latest: tuple[Look, CoreCounts | None] | None = None
        self._asked_off: frozenset[int] = frozenset()
        self._off: dict[int, SwitchedOff] = {}
        # What is not known, with the reason, and when that was found for the first and for the last time.
        self._lacks: dict[str, tuple[str, float, float]] = {}
        self.began_s = self._due_s = clock()
        self._take(Counts())

    def look(self, *, within_s: float = math.inf, is_due: bool = False) -> None:
        """Look at the tables once more; nothing comes of it where they cannot be read, or the process has ended.

        Args:
            within_s: how long the next look may have to wait, so that looks take no more than a share of the time.
            is_due: it does not wait.
        """
        if self._copied is None:
            return
        with self._looking:
            if not is_due and self._clock() < self._due_s:
                return
            began_s = self._worked_s()
            try:
                self._look(self._copied())
            except ExecdError as error:
                self._judge("counts", f"what it records cannot be read: {error.message}")
            took_s = self._worked_s() - began_s
            self._due_s = self._clock() + min(took_s / _MOST_OF_TIME, within_s)

    def hear(self, said: object) -> None:
        """Take over what an agent tells: prices, and of a form whose events it counts itself how many there were."""
        told = said if isinstance(said, dict) else {}
        self.measures = told.get("measures") is not False
        self.prices = Prices.read(told.get("prices")) or self.prices or (self._usual if "prices" in told else None)
        self._judge("prices", "" if self.prices else "what an event costs could not be measured in it")
        if self._copied is not None:
            return
        counts = Counts.read(told.get("counts"))
        if counts is not None:
            self._take(counts)
        why = _TOO_LARGE if "counts" in told else "the tables that it records in cannot be read by the daemon"
        self._judge("counts", "" if counts else why)

    def why_unknown(self) -> str:
        """Return why nobody has known for some time what the recording costs, "" where that is known."""
        with self._lock:
            found = [why for why, first_s, last_s in self._lacks.values() if last_s - first_s >= _UNKNOWN_S]
        return found[0] if found else ""

    def will_switch_off(self, functions: Iterable[int]) -> None:
        """Take down that some functions are about to be switched off: whether they are the tables say."""
        with self._lock:
            self._asked_off |= frozenset(functions)

    def switched_off(self) -> list[SwitchedOff]:
        """Return what is switched off by now."""
        if self._copied is not None and self._asked_off - self._off.keys():
            # Where they cannot be read, what was seen before is all that is known.
            with self._looking, contextlib.suppress(ExecdError):
                data = self._copied()
                if (self._asked_off & off_in(data)) - self._off.keys():
                    self._note(data, read_counts(data), self._clock())
        return list(self._off.values())

    @property
    def is_lone(self) -> bool:
        """Whether the latest look has none shortly before it, so that it takes another one to tell of now."""
        with self._lock:
            ages = [self._looks[-1].at_s - one.at_s for one in self._looks]
        return self._copied is not None and not any(_LEAST_SPAN_S <= age <= _OF_LATE_S for age in ages)

    def now(self, span_s: float = SPAN_S) -> Overhead | None:
        """Return what the recording has cost of late, by the looks that there are; None before there are two.

        And None where the last one is not of late.

        Args:
            span_s: of how long, where it was recorded that long; of a process that mostly waits, of some seconds.
        """
        with self._lock:
            looks = list(self._looks)
        if not looks or self._clock() - looks[-1].at_s > _OF_LATE_S:
            return None
        ages = [(looks[-1].at_s - one.at_s, one) for one in reversed(looks)]
        far = [one for one in ages if one[0] >= _LEAST_SPAN_S]
        if not far:
            return None
        near = [one for one in far if one[0] <= _OF_LATE_S] or far[:1]
        # With another share of the time it cost something else.
        near = [one for one in near if one[1].recorded == looks[-1].recorded] or near
        span_s = max(span_s, self.span_s)
        _, earlier = next((one for one in near if one[0] >= span_s * _ALMOST), near[-1])
        if looks[-1].cpu_ns - earlier.cpu_ns < _LITTLE_CPU_NS:
            _, earlier = near[-1]
        return overhead_between(earlier, looks[-1], self.prices, self.before(earlier))

    def before(self, look: Look) -> Look:
        """Return the look that tells with a later one how dear events have been of late, at the latest this one."""
        with self._lock:
            return next((one for one in self._looks if look.at_s - one.at_s <= _DEARER_S), look)

    def _look(self, data: bytes) -> None:
        """Take down what a copy says that was made this instant. Raises ProfileCorrupt."""
        instant = self._instant()
        if instant is None:
            return
        found = read_counts(data)
        self._note(data, found, instant[0])
        self._judge("counts", "")
        # Where nobody governs, nobody needs more than the sum.
        self._add(Look(*instant, found.total, self.recorded), None if self._limit is None else found)

    def _take(self, counts: Counts) -> None:
        instant = self._instant()
        if instant is not None:
            self._add(Look(*instant, counts), None)

    def _instant(self) -> tuple[float, int] | None:
        """Return what the clock shows, and the CPU time of the program; None where it has ended."""
        try:
            instant = self._clock(), self._cpu_ns(self._pid)
        except OSError:
            return None
        except ExecdError as error:
            self._judge("time", f"its CPU time cannot be told: {error.message}")
            return None
        self._judge("time", "")
        return instant

    def _add(self, look: Look, by_function: CoreCounts | None) -> None:
        with self._lock:
            self._looks.append(look)
            self.latest = look, by_function

    def _judge(self, what: str, why: str) -> None:
        """Take down why something is not known, "" where it is."""
        now_s = self._clock()
        with self._lock:
            if not why:
                self._lacks.pop(what, None)
            else:
                _, first_s, _ = self._lacks.get(what, ("", now_s, now_s))
                self._lacks[what] = why, first_s, now_s

    def _note(self, data: bytes, counts: CoreCounts, at_s: float) -> None:
        """Take down which functions a copy of tables has switched off, with what they had until then."""
        found = (self._asked_off & counts.off) - self._off.keys()
        functions = functions_at(data, found) if found else {}
        for index, function in functions.items():
            had = counts.functions.get(index, FunctionCounts(index, Counts(), 0)).counts
            calls = had.python + had.resumed
            self._off[index] = SwitchedOff(
                name=function.qualname,
                file=function.file,
                first_line=function.first_line,
                calls=calls,
                mean_ns=round(had.python_ns / calls) if calls else 0,
                after_s=round(at_s - self.began_s, 3),
                limit=self._limit or 0.0,
            )


def process_cpu_ns(pid: int) -> int:
    """Return the CPU time that a process has taken, ns. Raises OSError where there is none."""
    return time.clock_gettime_ns(~pid << 3 | _CPU_CLOCK)


def program_cpu_ns(pid: int, agent: int | None) -> int:
    """Return the CPU time that a process has taken, without that of the agent's thread, ns.

    Args:
        pid: the process.
        agent: our number of that thread, None where it is not known.

    Raises:
        OSError: there is no such process.
        TargetGone, NotPermitted: there is no such thread, or nobody may see what it takes.
    """
    # Read first: what the agent takes in between is the program's rather than missing from it.
    agent_ns = 0 if agent is None else process.used_ns(pid, agent)
    return process_cpu_ns(pid) - agent_ns


def limit_of(options: Mapping[str, object], python_version: str = "") -> float | None:
    """Return the share that the overhead of a recording may have, None without one.

    Args:
        options: of the recording.
        python_version: where it is asked for.

    Raises:
        UsageError: it is none, or what an event costs is not to be measured, or not all events are counted.
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
    if python_version and not _counts_all(options, python_version):
        raise UsageError(
            f"the overhead has a limit, and Python {python_version} tells of code that is left out too, uncounted",
            remedy="leave the limit out, or --include and --exclude",
        )
    return float(limit)  # type: ignore[arg-type]


def _counts_all(options: Mapping[str, object], python_version: str) -> bool:
    """Return whether a recording counts all events: what is left out by filters is told of before 3.12."""
    return version_of(python_version) >= SWITCHES_OFF or not (options.get("include") or options.get("exclude"))


def gauge_of(armed: Armed, target: Target, agent: int | None) -> Gauge | None:
    """Return what looks at a recording that has just begun, None of what is no call's, or does not count all events.

    Args:
        armed: the recording.
        target: where it is.
        agent: our number of the agent's thread, None where it is not known.
    """
    if armed.collector != CALLS.name or not _counts_all(armed.options, target.python_version):
        return None
    copied = None if armed.native is None else armed.native.tables.copy
    usual = usual_prices(armed.form, version_of(target.python_version))
    cpu_ns = partial(program_cpu_ns, agent=agent)
    return Gauge(target.key.pid, copied, limit_of(armed.options), cpu_ns=cpu_ns, usual=usual)


def hear(armed: Armed, costs: object) -> None:
    """Take over what the agent tells of the costs of what is armed, by its key."""
    if armed.gauge is not None:
        armed.gauge.hear(costs.get(armed.key) if isinstance(costs, dict) else None)


def of_running(rows: Sequence[Running]) -> list[Overhead | None]:
    """Return what sessions cost their targets now, None where that is not known.

    Of those that nobody has looked at of late it takes 100 ms.
    """
    gauges = [running.armed.gauge for running in rows]
    present = {id(gauge): gauge for gauge in gauges if gauge is not None}
    for gauge in present.values():
        gauge.look()
    lone = [gauge for gauge in present.values() if gauge.is_lone]
    if lone:
        time.sleep(COUNT_S)
    for gauge in lone:
        gauge.look(is_due=True)
    return [None if gauge is None else gauge.now() for gauge in gauges]


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
        except (ExecdError, OSError):
            # The next beat meets it too, and does what is to be done.
            return None
        finally:
            live.lock.release()
    return of_running([running])[0]
