"""The calls collector, Python form: every call of every thread, with its times, as a call tree.

It hears them by a subscription (`subscription.py`).
"""

from __future__ import annotations

import posix
from time import perf_counter_ns

from execd_agent import compat
from execd_agent.collectors import Refused, events
from execd_agent.collectors.calltree import CallTree
from execd_agent.collectors.subscription import Subscription

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_MAX_BYTES = 32 << 20
# More is a mistake in the unit.
_MOST_BIAS_S = 1.0


class Calls:
    """One calls session.

    options: builtins (count C functions), include and exclude (what code, see filters.py), max_memory_bytes (for the
    tree), clock ("wall", "cpu"), timer and timeunit (see timers.py), bias (what an event is taken to cost; measured
    where it is "auto" or left out), force.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._builtins = bool(options.get("builtins", True))
        self._clock: Any = None
        if options.get("timer") or (options.get("clock") or "wall") != "wall":
            from execd_agent.collectors.clocks import clock_of  # noqa: PLC0415 - what few ask for

            self._clock = clock_of(options)
        self._force = bool(options.get("force"))
        self._hooks: Any = None
        self._began_ns = self._ended_ns = 0
        measures = bias_of(options) == "auto" and (self._clock is None or self._clock.is_measured)
        self._measures = measures
        read = perf_counter_ns if self._clock is None else self._clock.read
        max_bytes = int(options.get("max_memory_bytes") or DEFAULT_MAX_BYTES)
        self._filters = filters_of(options, max_bytes)
        if self._filters is not None:
            max_bytes -= self._filters.max_bytes
        self._calls = CallTree(read, max_bytes, self._clock, self._filters and self._filters.choice)
        self._event_costs: Any = None
        self._pid = posix.getpid()

    def start(self) -> list[str]:
        """Arm every thread but the calling one. Returns caveats. Raises Refused."""
        self._calls.ignore_this_thread()
        disabled = self._filters and self._filters.codes
        self._hooks = Subscription(self._handlers, disabled=disabled, resume=self._calls.resume, force=self._force)
        self._calls.follow_greenlets()
        self._calls.begin()
        self._began_ns = perf_counter_ns() if self._clock is not None else self._calls.started_ns
        if self._clock is not None:
            self._clock.begin()
        if self._filters is not None:
            self._hooks.note(self._filters.caveat)
        if compat.HAS_MONITORING:
            return self._hooks.install()  # type: ignore[no-any-return]
        from execd_agent.collectors.threadstates import NoThreadStates  # noqa: PLC0415 - what 3.12 does not need

        try:
            return self._hooks.install()  # type: ignore[no-any-return]
        except NoThreadStates:
            caveats, self._hooks = self._hooks.caveats, self._gc_hooks()
            self._hooks.caveats.extend(caveats)
            return self._hooks.install()  # type: ignore[no-any-return]

    def _handlers(self, depth: int, disable: Any) -> dict[str, Any]:
        return events.handlers(self._calls, depth, disable, builtins=self._builtins)

    def _gc_hooks(self) -> Any:
        from execd_agent.collectors.gchooks import GcHooks  # noqa: PLC0415 - where there is no other way only
        from execd_agent.collectors.profilehooks import make_profile_function  # noqa: PLC0415 - as above

        profile, redirect, _ = make_profile_function()
        # One frame more: GcHooks looks whether it is stopped before it hands on.
        redirect(self._handlers(3, None))
        return GcHooks(profile)

    @property
    def memory_bytes(self) -> int:
        """About how much memory the tree takes."""
        return self._calls.used_bytes + (self._filters.used_bytes if self._filters else 0)

    @property
    def lost_calls(self) -> int:
        """How many calls the memory limit has left out."""
        return self._calls.lost_calls

    @property
    def broken(self) -> str:
        """Why the recording must end, "" where it need not."""
        return "" if self._clock is None else str(self._clock.broken)

    def poll(self) -> None:
        """Look for threads that nothing told us of; called from time to time while armed."""
        self._hooks.poll()
        self._calls.follow_greenlets()
        self._measure()

    def costs(self) -> dict[str, Any]:
        """Return the prices of events and how many there were, once measured; and whether it measures next time."""
        if self._event_costs is None:
            return {"measures": self._measures}
        from execd_agent.collectors.prices import counted  # noqa: PLC0415 - loaded with the costs

        trees = [*self._calls.trees, self._calls.ended]
        counts = counted([tree.root for tree in trees], sum(tree.over.calls for tree in trees))
        measures = self._measures and self._event_costs.is_due
        return {"prices": self._event_costs.prices.figures(), "counts": counts, "measures": measures}

    def snapshot(self) -> bytes:
        """Return the table of everything recorded until now."""
        self._measure()
        now_ns = self._ended_ns or perf_counter_ns()
        lost = {"calls over the memory limit": self._calls.lost_calls} if self._calls.lost_calls else {}
        caveats = [*self._hooks.caveats, *([self.broken] if self.broken else [])]
        costs = {} if self._event_costs is None else self._event_costs.figures()
        header = {"span_ns": now_ns - self._began_ns, "lost": lost, "caveats": caveats, "extra": costs}
        return self._calls.table(now_ns, header)

    mark = snapshot

    def stop(self) -> None:
        """Disarm. What was recorded stays until `free`."""
        if self._hooks is not None and not self._ended_ns:
            if posix.getpid() == self._pid:
                self._measure()
            self._hooks.remove()
            self._ended_ns = perf_counter_ns()
            if self._clock is not None:
                self._clock.end()

    def _measure(self) -> None:
        """Measure what an event costs: not before the start is answered, which somebody waits for."""
        if not self._measures or self._ended_ns:
            return
        try:
            if self._event_costs is None:
                from execd_agent.collectors.eventcost import EventCosts  # noqa: PLC0415 - as it says

                self._event_costs = EventCosts(self._calls, self._handlers, builtins=self._builtins)
            self._event_costs.measure()
        except Exception:  # noqa: BLE001 - an audit hook of the target's forbids it: its times stay as they are recorded
            self._measures = False

    def free(self) -> None:
        """Let go of what was recorded; after `stop`."""
        self._calls.free()
        if self._filters:
            self._filters.free()


def filters_of(options: dict[str, Any], max_bytes: int) -> Any:
    """Return what a session's options say of code, see filters.py; None where they leave nothing out.

    Args:
        options: include, exclude: lists of patterns.
        max_bytes: that the recording may take.
    """
    include, exclude = (list(map(str, options.get(name) or ())) for name in ("include", "exclude"))
    if not include and not exclude:
        return None
    from execd_agent.collectors.filters import SHARE, Filters  # noqa: PLC0415 - what few ask for

    return Filters(include, exclude, max_bytes // SHARE)


def bias_of(options: dict[str, Any]) -> Any:
    """Return what an event is taken to cost, "auto" or seconds. Raises Refused."""
    bias = options.get("bias", "auto")
    if bias != "auto" and not (type(bias) in (int, float) and 0 <= bias <= _MOST_BIAS_S):
        raise Refused("a bias is auto, or the seconds that one event costs, not %r" % (bias,))
    return bias
