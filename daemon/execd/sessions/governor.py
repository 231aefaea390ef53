"""Governor: the thread that keeps recordings of calls within the overhead that they may have.

It is there while one has a limit. Above it over a second, short functions are switched off in the target, those with
most events first. Where that is not enough, or cannot be done, the sessions end with what they have.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from execd.errors import AgentSilent, CollectorRefused, ExecdError
from execd.model.lines.names import version_of
from execd.model.overhead import SwitchedOff, overhead_between, to_switch_off
from execd.sessions.overhead import limit_of

if TYPE_CHECKING:
    from execd.attach.corecounts import CoreCounts
    from execd.model.overhead import FunctionCounts, Look, Overhead, Prices
    from execd.sessions.armed import Armed, Running
    from execd.sessions.live import LiveTarget
    from execd.sessions.registry import Registry

_LOG = logging.getLogger("execd.sessions")
# The first version that can be told of fewer functions.
_SWITCHES_OFF: Final = (3, 12)
_INTERVAL_S: Final = 0.25
# How long the overhead may be above its limit.
_PATIENCE_S: Final = 1.0
# Of a process that used less than this share of a processor nothing is said: an idle one is held up by nothing.
_LEAST_CPU_SHARE: Final = 0.01
_REMEDY: Final = "allow more, leave C functions out (--no-builtins), or take samples (--sample)"


@dataclass(slots=True)
class Watch:
    """What is known of one recording since the last that was done about it.

    Attributes:
        limit: of the share.
        looks: of the last second, with what each function had cost; None where only the sum is known.
    """

    limit: float
    looks: deque[tuple[Look, CoreCounts | None]] = field(default_factory=deque)

    def add(self, look: Look, counts: CoreCounts | None) -> None:
        """Take down a look; those are let go of that are older than is needed."""
        if self.looks and self.looks[-1][0] is look:
            return
        self.looks.append((look, counts))
        while len(self.looks) > 2 and look.at_s - self.looks[1][0].at_s >= _PATIENCE_S:  # noqa: PLR2004 - a span has two
            self.looks.popleft()

    def above(self, prices: Prices | None) -> Overhead | None:
        """Return what the last second has cost where that is above the limit, None where it is not, or not known."""
        if not self.looks:
            return None
        (earlier, _), (later, _) = self.looks[0], self.looks[-1]
        if later.at_s - earlier.at_s < _PATIENCE_S:
            return None
        spent = overhead_between(earlier, later, prices)
        if spent is None or spent.share is None or spent.cpu_ns < _LEAST_CPU_SHARE * spent.span_s * 1e9:
            return None
        return spent if spent.share > self.limit else None

    def hottest(self, prices: Prices, spent: Overhead) -> list[FunctionCounts]:
        """Return the functions to switch off."""
        earlier, later = self.looks[0][1], self.looks[-1][1]
        if earlier is None or later is None:
            return []
        return to_switch_off(later.since(earlier), prices, spent, self.limit)


class Governor:
    """Looks at the recordings of all targets that have a limit."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._watches: dict[int, Watch] = {}

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

    def _run(self) -> None:
        while not self._closing.wait(_INTERVAL_S):
            with self._lock:
                rows = self._governed()
                if not rows:
                    self._thread = None
                    return
            present = {id(armed) for _, armed, _ in rows}
            self._watches = {key: watch for key, watch in self._watches.items() if key in present}
            for live, armed, limit in rows:
                self._guarded(live, armed, self._watches.setdefault(id(armed), Watch(limit)))

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
        gauge.look()
        if gauge.latest is not None:
            watch.add(*gauge.latest)
        spent = watch.above(gauge.prices)
        if spent is None or gauge.prices is None:
            return
        with live.lock:
            if not live.gone and not (live.silent and not live.link.channel.has_news()):
                self._restrain(live, armed, watch, spent, watch.hottest(gauge.prices, spent))

    def _restrain(
        self, live: LiveTarget, armed: Armed, watch: Watch, spent: Overhead, chosen: list[FunctionCounts]
    ) -> None:
        """Switch functions off, or end the sessions where that cannot be done; the caller holds the target's lock."""
        why = _why_not(armed, live.target.python_version)
        try:
            done = _switched_off(live, armed, [one.index for one in chosen]) if chosen and not why else []
        except CollectorRefused as refused:
            done, why = [], refused.message
        if done:
            _note(armed, watch, done)
            watch.looks.clear()
            return
        reason = (
            f"ended by its overhead limit: recording calls added {spent.share:.0%} to the CPU time of process "
            f"{live.target.key.pid}, and may add {watch.limit * 100:g}%; "
            f"{why or 'no function that is left is short enough to be switched off'}: {_REMEDY}"
        )
        for running in _running(live):
            if running.armed is armed:
                running.breach = reason
                self._registry.recorder.stop(live, running, patience_s=0.0)
        self._registry.look_again()


def _switched_off(live: LiveTarget, armed: Armed, functions: list[int]) -> list[int]:
    """Have no more calls of functions recorded; returns which were switched off now. Raises CollectorRefused."""
    said = live.request("switch_off", session=armed.key, functions=functions).facts.get("functions")
    return [one for one in said if one in functions] if isinstance(said, list) else []


def _why_not(armed: Armed, python_version: str) -> str:
    """Return why no function can be switched off, "" where some can."""
    if armed.form != "native":
        return f"the {armed.form} form switches no functions off"
    if version_of(python_version) < _SWITCHES_OFF:
        return f"Python {python_version} tells of all functions or of none"
    return ""


def _note(armed: Armed, watch: Watch, done: list[int]) -> None:
    """Take down which functions were switched off, with what they had until then."""
    look, counts = watch.looks[-1]
    if counts is None or armed.gauge is None:
        return
    for index in done:
        function, had = counts.function(index), counts.functions[index]
        calls = had.counts.python + had.counts.resumed
        off = SwitchedOff(
            name=function.qualname,
            file=function.file,
            first_line=function.first_line,
            calls=calls,
            mean_ns=round(had.ns / calls) if calls else 0,
            after_s=round(look.at_s - armed.gauge.began_s, 3),
            limit=watch.limit,
        )
        armed.switched_off.append(off)


def _running(live: LiveTarget) -> list[Running]:
    return list(live.running.values())
