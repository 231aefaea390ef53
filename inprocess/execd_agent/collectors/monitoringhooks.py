"""The calls handlers as sys.monitoring callbacks (3.12+): global events, so all threads and all running frames."""

from __future__ import annotations

import sys

from execd_agent import compat
from execd_agent.collectors import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from execd_agent.collectors.events import Handlers

_TOOL_NAME = "execd"
# Typed loosely because the type checker knows the daemon's version, not the target's.
_MONITORING: Any = getattr(sys, "monitoring", None)
DISABLE = getattr(_MONITORING, "DISABLE", None)


class MonitoringHooks:
    """The handlers as sys.monitoring callbacks under a tool id that nobody else uses (3.12+)."""

    def __init__(self, handlers: Handlers, *, builtins: bool) -> None:
        self.caveats: list[str] = []
        self._tool_id = -1
        self._events = 0
        events = _MONITORING.events
        self._callbacks = [
            (events.PY_START, handlers.enter),
            (events.PY_RESUME, handlers.enter),
            (events.PY_THROW, handlers.enter_always),
            (events.PY_RETURN, handlers.leave),
            (events.PY_YIELD, handlers.leave),
            (events.PY_UNWIND, handlers.leave_always),
        ]
        if builtins:
            self._callbacks += [
                (events.CALL, handlers.enter_c),
                (events.C_RETURN, handlers.leave_c),
                (events.C_RAISE, handlers.leave_c),
            ]

    def install(self) -> list[str]:
        """Register the callbacks, then switch the events on for all threads. Raises Refused."""
        monitoring = _MONITORING
        # Noted before it is taken: a child forked in between gives it back.
        self._tool_id = _free_tool_id()
        monitoring.use_tool_id(self._tool_id, _TOOL_NAME)
        mask = 0
        for event, callback in self._callbacks:
            monitoring.register_callback(self._tool_id, event, callback)
            mask |= event
        # C_RETURN and C_RAISE come with CALL and cannot be asked for by themselves.
        monitoring.set_events(self._tool_id, mask & ~(monitoring.events.C_RETURN | monitoring.events.C_RAISE))
        self._events = monitoring.get_events(self._tool_id)
        return self.caveats

    def poll(self) -> None:
        """See whether the id and its events are ours still; the events themselves are global."""
        owner = _MONITORING.get_tool(self._tool_id)
        if owner is None:
            self._note("the target gave back the monitoring id of execd; calls since may be missing")
        elif owner != _TOOL_NAME:
            self._note("another tool took over the monitoring id of execd; recording ended then")
        elif _MONITORING.get_events(self._tool_id) != self._events:
            self._note("the target changed the monitoring events of execd; what they told of is missing since")

    def remove(self) -> None:
        """Switch the events off and give the id back, unless somebody took it from us."""
        monitoring = _MONITORING
        if self._tool_id < 0:
            return
        self.poll()
        if monitoring.get_tool(self._tool_id) is None:
            # Before 3.14 an id that is given back keeps its events, which cost time; only an owner switches them off.
            monitoring.use_tool_id(self._tool_id, _TOOL_NAME)
        is_ours = monitoring.get_tool(self._tool_id) == _TOOL_NAME
        if is_ours:
            monitoring.set_events(self._tool_id, 0)
        foreign = self._remove_callbacks()
        if is_ours:
            if foreign:
                self._note("the target replaced a monitoring callback of execd; what it told of is missing since")
            monitoring.free_tool_id(self._tool_id)
        for event, callback in foreign:
            monitoring.register_callback(self._tool_id, event, callback)

    def _remove_callbacks(self) -> list[tuple[int, Any]]:
        """Take the callbacks off, also from an id that another tool took over. Returns those that are not ours."""
        found = []
        for event, ours in self._callbacks:
            try:
                present = _MONITORING.register_callback(self._tool_id, event, None)
            except Exception:  # noqa: BLE001, S112 - an audit hook of the target's
                continue  # without events it does nothing
            if present is not None and present is not ours:
                found.append((event, present))
        return found

    def _note(self, caveat: str) -> None:
        if caveat not in self.caveats:
            self.caveats.append(caveat)


def _free_tool_id() -> int:
    owners = []
    for tool_id in compat.MONITORING_TOOL_IDS:
        owner = _MONITORING.get_tool(tool_id)
        if owner is None:
            return tool_id
        owners.append("%s (%d)" % (owner, tool_id))
    raise Refused("no sys.monitoring id is free: " + " and ".join(owners) + " are in use")
