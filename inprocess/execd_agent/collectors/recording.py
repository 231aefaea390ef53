"""What the collectors of places have in common: one session, from its start to its end.

`lines.py`, `callers.py`, and `marks.py` for `cover.py` and `functions.py`, say what they note of a place.
"""

from __future__ import annotations

from time import perf_counter_ns

from execd_agent.collectors.places import DEFAULT_MAX_BYTES, Places, prepare_table
from execd_agent.collectors.selection import Selection
from execd_agent.collectors.subscription import Subscription

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any

    from execd_agent.collectors.table import Table


class Recording:
    """One session.

    Args:
        options: ignore_modules, ignore_dirs (lists of str), max_memory_bytes.
        files_only: leave code out that runs in no file's namespace.
        wants: see `Subscription`; all of the selection's where it is left out.
    """

    LOST = "places over the memory limit"

    def __init__(
        self,
        options: dict[str, Any],
        *,
        files_only: bool = True,
        wants: Callable[[CodeType, FrameType], bool] | None = None,
    ) -> None:
        selection = Selection(options, files_only=files_only)
        self._places = Places(selection, int(options.get("max_memory_bytes") or DEFAULT_MAX_BYTES))
        self._hooks = Subscription(
            self._handlers,
            wants=wants or self._places.wants,
            disabled=self._places.codes,
            force=bool(options.get("force")),
        )
        self._started_ns = self._ended_ns = 0

    def start(self) -> list[str]:
        """Arm every thread but the calling one. Returns caveats. Raises Refused."""
        prepare_table()
        self._places.ignore_this_thread()
        self._started_ns = perf_counter_ns()
        return self._hooks.install()

    @property
    def memory_bytes(self) -> int:
        """About how much memory the places take, with what is noted of them."""
        return self._places.used_bytes

    def poll(self) -> None:
        """Look for threads that nothing told us of; called from time to time while armed."""
        self._hooks.poll()

    def stop(self) -> None:
        """Disarm. What was recorded stays until `free`."""
        if not self._ended_ns:
            self._hooks.remove()
            self._ended_ns = perf_counter_ns()

    def free(self) -> None:
        """Let go of what was recorded; after `stop`."""
        self._places.free()

    def _encode(self, table: Table) -> bytes:
        span_ns = (self._ended_ns or perf_counter_ns()) - self._started_ns
        return table.encode(self._places.header(span_ns, self.LOST, self._hooks.caveats))

    def _handlers(self, depth: int, disable: Any) -> dict[str, Any]:
        raise NotImplementedError
