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
        return self.caveats

    def poll(self) -> None:
        """Nothing to look for: the events are global."""

    def remove(self) -> None:
        """Switch the events off and give the id back, unless somebody took it from us."""
        monitoring = _MONITORING
        if self._tool_id < 0:
            return
        if monitoring.get_tool(self._tool_id) != _TOOL_NAME:
            self.caveats.append("another tool took over the monitoring id of execd; recording ended then")
            return
        monitoring.set_events(self._tool_id, 0)
        for event, _ in self._callbacks:
            monitoring.register_callback(self._tool_id, event, None)
        monitoring.free_tool_id(self._tool_id)


def _free_tool_id() -> int:
    owners = []
    for tool_id in compat.MONITORING_TOOL_IDS:
        owner = _MONITORING.get_tool(tool_id)
        if owner is None:
            return tool_id
        owners.append("%s (%d)" % (owner, tool_id))
    raise Refused("no sys.monitoring id is free: " + " and ".join(owners) + " are in use")
