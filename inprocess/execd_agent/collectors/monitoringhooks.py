"""The interpreter's events by sys.monitoring (3.12+): global ones, so all threads and all running frames.

One tool id serves all subscriptions (`subscription.py`). An event that one of them hears has its handler registered
as it is; one that several hear goes through `fanout.py`. What DISABLE switched off stays off in the code object, also
after the tool id is given back and taken again, so whoever comes or goes has it armed again.
"""

from __future__ import annotations

import _operator
import itertools
import sys

from execd_agent import compat
from execd_agent.collectors import Refused
from execd_agent.collectors.fanout import DISABLE, to_all
from execd_agent.collectors.lineevents import Starts, make_jump

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any

    from execd_agent.collectors.subscription import Subscription

_TOOL_NAME = "execd"
_TOOL_IDS = 6
# What holds the target up at once, beside another tool: 70 us a code object on 3.12, 40 on 3.13.
_CODES_AT_ONCE = 100
# Typed loosely because the type checker knows the daemon's version, not the target's.
_MONITORING: Any = getattr(sys, "monitoring", None)


class MonitoringHooks:
    """The handlers of all subscriptions, as callbacks under a tool id that nobody else uses."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []
        self._tool_id = -1
        self._events = 0
        self._callbacks: dict[int, Any] = {}
        self._starts = Starts()

    def join(self, subscription: Subscription) -> None:
        """Let one more hear all threads. Raises Refused."""
        others = list(self._subscriptions)
        self._subscriptions.append(subscription)
        if not others:
            # Noted before it is taken: a child forked in between gives it back.
            self._tool_id = _free_tool_id()
            _MONITORING.use_tool_id(self._tool_id, _TOOL_NAME)
        elif not self._is_ours():
            raise Refused("the monitoring id that collectors of execd use was taken from them; stop these first")
        self._apply()
        self._arm_again([code for other in others for code in other.disabled()])

    def poll(self, subscription: Subscription) -> None:
        """See whether the id and its events are ours still; the events themselves are global."""
        owner = _MONITORING.get_tool(self._tool_id)
        if owner is None:
            subscription.note("the target gave back the monitoring id of execd; calls since may be missing")
        elif owner != _TOOL_NAME:
            subscription.note("another tool took over the monitoring id of execd; recording ended then")
        elif _MONITORING.get_events(self._tool_id) != self._events:
            subscription.note("the target changed the monitoring events of execd; what they told of is missing since")

    def starts(self, subscription: Subscription) -> None:
        """Nothing to do for threads that come: the interpreter tells of all."""

    def shortcut(self, subscription: Subscription) -> None:
        """Nothing to do: there is no trampoline."""

    def rearm(self, subscription: Subscription) -> None:
        """Let a subscription, and so all, hear again of the places that it was done with."""
        if self._is_ours():
            self._arm_again(subscription.disabled())

    def leave(self, subscription: Subscription) -> None:
        """Let one hear no more; after the last the id is given back, unless somebody took it from us."""
        # A child forked in the midst of it is here for the second time.
        if subscription in self._subscriptions:
            if self._tool_id >= 0:
                self.poll(subscription)
            self._subscriptions.remove(subscription)
        if not self._subscriptions:
            self._release(subscription)
        elif self._is_ours():
            self._apply()
            self._arm_again(subscription.disabled())

    def _is_ours(self) -> bool:
        return self._tool_id >= 0 and _MONITORING.get_tool(self._tool_id) == _TOOL_NAME

    def _apply(self) -> None:
        """Register what the subscriptions want to hear, and nothing else."""
        before, self._callbacks = self._callbacks, _callbacks_for(self._subscriptions, self._starts)
        mask = 0
        for event, callback in self._callbacks.items():
            # Before its event is on.
            self._register(event, callback, before.get(event))
            mask |= event
        if mask & _MONITORING.events.PY_THROW:
            # From 3.14 on a generator's close is a throw into it only where somebody hears of unwinding.
            mask |= _MONITORING.events.PY_UNWIND
        # These come with CALL and cannot be asked for by themselves.
        mask &= ~(_MONITORING.events.C_RETURN | _MONITORING.events.C_RAISE)
        _MONITORING.set_events(self._tool_id, mask)
        self._events = _MONITORING.get_events(self._tool_id)
        for event in before.keys() - self._callbacks.keys():
            self._register(event, None, before[event])

    def _register(self, event: int, callback: Any, before: Any) -> None:
        """Put one callback in another's place; what the target put there stays."""
        present = _MONITORING.register_callback(self._tool_id, event, callback)
        if present is not None and present is not before:
            _MONITORING.register_callback(self._tool_id, event, present)
            self._note_replaced()

    def _note_replaced(self) -> None:
        for subscription in self._subscriptions:
            subscription.note("the target replaced a monitoring callback of execd; what it told of is missing since")

    def _arm_again(self, codes: list[CodeType]) -> None:
        """Switch on what DISABLE switched off, within these code objects at least."""
        codes = codes + self._starts.codes()
        if not codes:
            return
        if all(_MONITORING.get_tool(other) is None for other in range(_TOOL_IDS) if other != self._tool_id):
            _MONITORING.restart_events()
            return
        # That would tell other tools of places that they are done with.
        for first in range(0, len(codes), _CODES_AT_ONCE):
            self._look_at(codes[first : first + _CODES_AT_ONCE])

    def _look_at(self, codes: list[CodeType]) -> None:
        """Switch events off and on in these code objects, which happens when one is looked at while they are off."""
        steps: list[tuple[Any, ...]] = [(_MONITORING.set_events, self._tool_id, 0)]
        for code in codes:
            steps += self._looked_at(code)
        steps.append((_MONITORING.set_events, self._tool_id, self._events))
        try:
            # Nothing in here gives the GIL away, so that no thread misses an event.
            list(itertools.starmap(_operator.call, steps))
        finally:
            _MONITORING.set_events(self._tool_id, self._events)

    def _looked_at(self, code: CodeType) -> list[tuple[Any, ...]]:
        """Return calls that have a code object's instrumentation made anew: a local event on and off."""
        change = _MONITORING.set_local_events
        return [(change, self._tool_id, code, _MONITORING.events.PY_START), (change, self._tool_id, code, 0)]

    def _release(self, last: Subscription) -> None:
        """Switch the events off and give the id back, unless somebody took it from us."""
        if self._tool_id < 0:
            return
        if _MONITORING.get_tool(self._tool_id) is None:
            # Before 3.14 an id that is given back keeps its events, which cost time; only an owner switches them off.
            _MONITORING.use_tool_id(self._tool_id, _TOOL_NAME)
        is_ours = self._is_ours()
        if is_ours:
            self._events = 0
            _MONITORING.set_events(self._tool_id, 0)
            self._arm_again(last.disabled())
        foreign = self._remove_callbacks()
        if is_ours:
            if foreign:
                last.note("the target replaced a monitoring callback of execd; what it told of is missing since")
            _MONITORING.free_tool_id(self._tool_id)
        for event, callback in foreign:
            _MONITORING.register_callback(self._tool_id, event, callback)
        self._tool_id = -1
        self._starts = Starts()

    def _remove_callbacks(self) -> list[tuple[int, Any]]:
        """Take the callbacks off, also from an id that another tool took over. Returns those that are not ours."""
        found = []
        for event, ours in self._callbacks.items():
            try:
                present = _MONITORING.register_callback(self._tool_id, event, None)
            except Exception:  # noqa: BLE001, S112 - an audit hook of the target's
                continue  # without events it does nothing
            if present is not None and present is not ours:
                found.append((event, present))
        self._callbacks = {}
        return found


def _callbacks_for(subscriptions: list[Subscription], starts: Starts) -> dict[int, Any]:
    """Return the callback of each event that somebody wants to hear."""
    events = _MONITORING.events
    direct = to_all(subscriptions, ("enter", "leave", "enter_c", "leave_c", "line"), 1, DISABLE)
    # Some events must not be disabled.
    always = to_all(subscriptions, ("enter", "leave", "leave_c"), 1, None)
    found: dict[int, Any] = {}
    for callbacks, name, heard in (
        (direct, "enter", (events.PY_START, events.PY_RESUME)),
        (always, "enter", (events.PY_THROW,)),
        (direct, "leave", (events.PY_RETURN, events.PY_YIELD)),
        (always, "leave", (events.PY_UNWIND,)),
        (direct, "enter_c", (events.CALL,)),
        (always, "leave_c", (events.C_RETURN, events.C_RAISE)),
        (direct, "line", (events.LINE,)),
    ):
        if name in callbacks:
            found.update(dict.fromkeys(heard, callbacks[name]))
    if "line" in direct:
        below = to_all(subscriptions, ("enter", "line"), 2, DISABLE)
        found[events.JUMP] = make_jump(below["line"])
        found[events.PY_START] = starts.make_start(below.get("enter"))
    return found


def others_hear() -> bool:
    """Tell whether a tool of the program's has global events, which come from all threads."""
    others = [tool_id for tool_id in range(_TOOL_IDS) if _MONITORING.get_tool(tool_id) not in (None, _TOOL_NAME)]
    return any(map(_MONITORING.get_events, others))


def _free_tool_id() -> int:
    owners = []
    for tool_id in compat.MONITORING_TOOL_IDS:
        owner = _MONITORING.get_tool(tool_id)
        if owner == compat.AGENT_TOOL_NAME:
            # It needs none any more. That all code is instrumented anew for this is no loss: it will be.
            _MONITORING.free_tool_id(tool_id)
            owner = None
        if owner is None:
            return tool_id
        owners.append("%s (%d)" % (owner, tool_id))
    raise Refused("no sys.monitoring id is free: " + " and ".join(owners) + " are in use")


_hooks = MonitoringHooks()
join, poll, rearm, leave = _hooks.join, _hooks.poll, _hooks.rearm, _hooks.leave
starts, shortcut = _hooks.starts, _hooks.shortcut
