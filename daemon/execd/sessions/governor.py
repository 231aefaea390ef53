"""Governor: the thread that keeps recordings of calls within the overhead that they may have.

It is there while one has a limit. Above it over a second, short functions are switched off in the target, those with
most events first; below 3.12 it is recorded in time slices (slicing.py). Where that is not enough, or cannot be done,
the sessions end with what they have.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from execd.errors import AgentSilent, CollectorRefused, ExecdError
from execd.model.overhead import overhead_between, percent, to_switch_off
from execd.sessions.overhead import limit_of
from execd.sessions.slicing import Slicing, adapt, can_slice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from execd.attach.corecounts import CoreCounts
    from execd.model.overhead import FunctionCounts, Look, Overhead, Prices
    from execd.sessions.armed import Armed, Running
    from execd.sessions.live import LiveTarget
    from execd.sessions.overhead import Gauge
    from execd.sessions.registry import Registry

_LOG = logging.getLogger("execd.sessions")
_INTERVAL_S: Final = 0.25
# A look at large tables takes long: then there are fewer, but one in so long.
_LOOK_WITHIN_S: Final = 2.0
# Others have limits too, whatever one target does: it is tried again at the next round.
_TURN_S: Final = 0.05
_ANSWER_S: Final = 1.0
# How long the overhead may be above its limit.
_PATIENCE_S: Final = 1.0
# Of a process that used less than this share of a processor nothing is said: an idle one is held up by nothing.
_LEAST_CPU_SHARE: Final = 0.01
_REMEDY: Final = "allow more, set no limit, leave C functions out (--no-builtins), or take samples (--sample)"


@dataclass(slots=True)
class Watch:
    """What is known of one recording since the last that was done about it.

    Attributes:
        limit: of the share.
        patience_s: over how long it may be above that.
        looks: of so long, with what each function had cost; None where only the sum is known.
    """

    limit: float
    patience_s: float = _PATIENCE_S
    looks: deque[tuple[Look, CoreCounts | None]] = field(default_factory=deque)

    def add(self, look: Look, counts: CoreCounts | None) -> None:
        """Take down a look; those are let go of that are older than is needed."""
        if self.looks and self.looks[-1][0] is look:
            return
        before = self.looks[-1][1] if self.looks else None
        if before is not None and counts is not None and before.off != counts.off:
            # What was switched off is off now: whether that is enough the next second tells.
            self.looks.clear()
        self.looks.append((look, counts))
        while len(self.looks) > 2 and look.at_s - self.looks[1][0].at_s >= self.patience_s:  # noqa: PLR2004 - a span has two
            self.looks.popleft()

    def begin_anew(self, patience_s: float) -> None:
        """Look at what comes from now on: something was changed."""
        self.looks.clear()
        self.patience_s = patience_s

    def spent(self, prices: Prices | None, before: Callable[[Look], Look] | None = None) -> Overhead | None:
        """Return what the last second, or as long as it takes to tell, has cost; None where that is not known.

        Args:
            prices: of events.
            before: returns an earlier look, by which it is told how dear events are.
        """
        if not self.looks:
            return None
        (earlier, _), (later, _) = self.looks[0], self.looks[-1]
        if later.at_s - earlier.at_s < self.patience_s:
            return None
        spent = overhead_between(earlier, later, prices, before(earlier) if before else None)
        if spent is None or spent.share is None or spent.cpu_ns < _LEAST_CPU_SHARE * spent.span_s * 1e9:
            return None
        return spent

    def above(self, prices: Prices | None, before: Callable[[Look], Look] | None = None) -> Overhead | None:
        """Return the same where it is above the limit, None where it is not, or not known."""
        spent = self.spent(prices, before)
        return spent if spent is not None and spent.share is not None and spent.share > self.limit else None

    def hottest(self, prices: Prices, spent: Overhead) -> list[FunctionCounts] | None:
        """Return the functions to switch off, None where it is not known yet what each has cost."""
        earlier, later = self.looks[0][1], self.looks[-1][1]
        if earlier is None or later is None:
            return None
        return to_switch_off(later.since(earlier), prices, spent, self.limit)

    def why_nothing_to_switch_off(self) -> str:
        """Return why no function can be switched off to keep the limit."""
        earlier, later = (look.counts for look, _ in (self.looks[0], self.looks[-1]))
        counts = later.since(earlier)
        # A call of a Python function that is on has one.
        if counts.uncounted - counts.python > max(counts.c + counts.method, counts.python + counts.resumed):
            return (
                "most of what is left is told at the places of calls, of functions that are switched off too, "
                "as long as C functions are recorded"
            )
        if counts.c + counts.method > counts.python + counts.resumed:
            return "most of what is left is calls of C functions, which are not switched off one by one"
        return "no function that is left is short enough to be switched off"


class Governor:
    """Looks at the recordings of all targets that have a limit."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        # By the ids of what is armed, which each holds.
        self.watches: dict[int, tuple[Armed, Watch]] = {}

    def look_again(self) -> None:
        """Take notice of a recording that has begun."""
        with self._lock:
            if self._thread is None and self._governed() and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name="execd-governor", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        thread = self._thread
        if thread is not None:
            thread.join(1.0)

    def round(self) -> bool:
        """Look at what has a limit, once; returns whether there was any."""
        with self._lock:
            rows = self._governed()
            if not rows:
                self.watches.clear()
                self._thread = None
                return False
        # What is watched is kept with its watch: its id is nobody else's meanwhile.
        present = {id(armed) for _, armed, _ in rows}
        self.watches = {key: row for key, row in self.watches.items() if key in present}
        for live, armed, limit in rows:
            self._guarded(live, armed, self.watches.setdefault(id(armed), (armed, Watch(limit)))[1])
        return True

    def _run(self) -> None:
        while not self._closing.wait(_INTERVAL_S):
            if not self.round():
                return

    def _governed(self) -> list[tuple[LiveTarget, Armed, float]]:
        """Return what records now and has a limit."""
        rows = [(live, running.armed) for live in self._registry.live_targets() for running in _running(live)]
        limits = [(live, armed, limit_of(armed.options)) for live, armed in rows if armed.gauge is not None]
        return list({id(row[1]): (*row[:2], row[2]) for row in limits if row[2] is not None}.values())

    def _guarded(self, live: LiveTarget, armed: Armed, watch: Watch) -> None:
        try:
            self._govern(live, armed, watch)
        except AgentSilent:
            live.silent = True
        except ExecdError as error:
            self._registry.lose(live, error)
        except Exception:  # noqa: BLE001 - it is logged, and the other targets have limits too
            _LOG.exception("an overhead could not be kept", extra={"facts": {"pid": live.target.key.pid}})

    def _govern(self, live: LiveTarget, armed: Armed, watch: Watch) -> None:
        gauge = armed.gauge
        if gauge is None:
            return
        gauge.look(within_s=_LOOK_WITHIN_S)
        if gauge.latest is not None:
            watch.add(*gauge.latest)
        unknown = gauge.why_unknown()
        if unknown:
            what = f"what recording calls adds to process {live.target.key.pid}"
            self._end(live, armed, f"{what} is not known: {unknown}")
            return
        is_sliced = armed.slicing is not None
        spent = (watch.spent if is_sliced else watch.above)(gauge.prices, gauge.before)
        if spent is None:
            return
        if is_sliced or can_slice(armed, live.target.python_version):
            self._slice(live, armed, watch, spent)
        else:
            self._restrain(live, armed, watch, spent, gauge)

    def _restrain(self, live: LiveTarget, armed: Armed, watch: Watch, spent: Overhead, gauge: Gauge) -> None:
        """Switch functions off, or end the sessions where that cannot be done."""
        why = "" if armed.form == "native" else f"the {armed.form} form switches no functions off"
        if not why and gauge.prices is not None:
            chosen = watch.hottest(gauge.prices, spent)
            if chosen is None:
                return
            refused = _switched_off(live, armed, gauge, [one.index for one in chosen]) if chosen else ""
            if refused is None or (chosen and not refused and _is_done(watch, gauge, chosen)):
                return
            why = refused or watch.why_nothing_to_switch_off()
        self._give_up(live, armed, watch, spent, why)

    def _slice(self, live: LiveTarget, armed: Armed, watch: Watch, spent: Overhead) -> None:
        """Have it go on in time slices that keep the limit, or end the sessions where there are none."""
        with _turn(live, armed) as is_ours:
            if not is_ours:
                return
            why = ""
            try:
                why = adapt(live, armed, spent, watch.limit)
            finally:
                # Where it did not answer, too: it may do it all the same.
                if not why:
                    watch.begin_anew((armed.slicing or Slicing()).span_s)
        if why:
            self._give_up(live, armed, watch, spent, why)

    def _give_up(self, live: LiveTarget, armed: Armed, watch: Watch, spent: Overhead, why: str) -> None:
        added = percent(spent.share or 0.0, above=watch.limit)
        said = f"recording calls added {added} to the CPU time of process {live.target.key.pid}"
        self._end(live, armed, f"{said}, and may add {watch.limit * 100:g}%; {why}")

    def _end(self, live: LiveTarget, armed: Armed, why: str) -> None:
        """End the sessions that stand on what is armed, unless their target has something else to do."""
        with _turn(live, armed) as is_ours:
            if not is_ours:
                return
            for running in _running(live):
                if running.armed is armed:
                    running.breach = f"ended by its overhead limit: {why}: {_REMEDY}"
                    self._registry.recorder.stop(live, running, patience_s=0.0)
        self._registry.look_again()


@contextmanager
def _turn(live: LiveTarget, armed: Armed) -> Iterator[bool]:
    """Hold a target's lock; tells whether it is held, and something can be asked: others are not kept waiting."""
    if not live.lock.acquire(timeout=_TURN_S):
        yield False
        return
    try:
        is_silent = live.silent and not live.link.channel.has_news()
        yield not live.gone and not is_silent and any(running.armed is armed for running in _running(live))
    finally:
        live.lock.release()


def _switched_off(live: LiveTarget, armed: Armed, gauge: Gauge, functions: list[int]) -> str | None:
    """Ask for no more calls of functions; returns "", why that is refused, or None where nobody can be asked now.

    Raises:
        AgentSilent: it did not answer yet, and may do so later all the same.
    """
    with _turn(live, armed) as is_ours:
        if not is_ours:
            return None
        gauge.will_switch_off(functions)
        try:
            live.request("switch_off", timeout_s=_ANSWER_S, session=armed.key, functions=functions)
        except CollectorRefused as refused:
            return refused.message
    return ""


def _is_done(watch: Watch, gauge: Gauge, chosen: list[FunctionCounts]) -> bool:
    """Whether any of the functions is off by now, as the tables say it, or these cannot be read at the moment."""
    before = gauge.latest
    gauge.look(is_due=True)
    latest = gauge.latest
    if latest is None or latest is before:
        return True
    watch.add(*latest)
    return latest[1] is not None and any(one.index in latest[1].off for one in chosen)


def _running(live: LiveTarget) -> list[Running]:
    return list(live.running.values())
