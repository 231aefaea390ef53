"""The calls collector, Python form: every call of every thread, with wall-clock times, as a call tree.

It hears them by a subscription (`subscription.py`).
"""

from __future__ import annotations

from time import perf_counter_ns

from execd_agent import compat
from execd_agent.collectors import events
from execd_agent.collectors.calltree import CallTree
from execd_agent.collectors.subscription import Subscription

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DEFAULT_MAX_BYTES = 32 << 20


class Calls:
    """One calls session. options: builtins (count C functions), max_memory_bytes (for the tree)."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._builtins = bool(options.get("builtins", True))
        self._calls = CallTree(perf_counter_ns, int(options.get("max_memory_bytes") or _DEFAULT_MAX_BYTES))
        self._force = bool(options.get("force"))
        self._hooks: Any = None
        self._ended_ns = 0

    def start(self) -> list[str]:
        """Arm every thread but the calling one. Returns caveats. Raises Refused."""
        self._calls.ignore_this_thread()
        self._hooks = Subscription(self._handlers, resume=self._calls.resume, force=self._force)
        self._calls.begin()
        if compat.HAS_MONITORING:
            return self._hooks.install()  # type: ignore[no-any-return]
        from execd_agent.collectors.threadstates import NoThreadStates  # noqa: PLC0415 - what 3.12 does not need

        try:
            return self._hooks.install()  # type: ignore[no-any-return]
        except NoThreadStates:
            self._hooks = self._gc_hooks()
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
        return self._calls.used_bytes

    def poll(self) -> None:
        """Look for threads that nothing told us of; called from time to time while armed."""
        self._hooks.poll()

    def snapshot(self) -> bytes:
        """Return the table of everything recorded until now."""
        now_ns = self._ended_ns or perf_counter_ns()
        lost = {"calls over the memory limit": self._calls.lost_calls} if self._calls.lost_calls else {}
        header = {"span_ns": now_ns - self._calls.started_ns, "lost": lost, "caveats": list(self._hooks.caveats)}
        return self._calls.table(now_ns, header)

    mark = snapshot

    def stop(self) -> None:
        """Disarm. What was recorded stays until `free`."""
        if self._hooks is not None and not self._ended_ns:
            self._hooks.remove()
            self._ended_ns = perf_counter_ns()

    def free(self) -> None:
        """Let go of what was recorded; after `stop`."""
        self._calls.free()
