"""Clocks of the calls collector beside the time of day: those that each thread has for itself.

A clock has `read`, which handlers call in the thread that they are in, and `begin` and `end`, which the agent's thread
calls when the recording does. `began_ns` tells what a thread's clock showed at the begin, by its native number, and
`now_ns` what it shows now, or showed at the end; None where nobody knows. `broken` tells why the recording must end, ""
where it need not; `is_measured` whether a thread of ours can measure with it what an event costs.
"""

from __future__ import annotations

import posix
from time import clock_gettime_ns, thread_time_ns

from execd_agent.collectors import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TASKS = "/proc/self/task"


def clock_of(options: dict[str, Any]) -> Any:
    """Return the clock that a session asks for where it is another. options: clock, timer, timeunit. Raises Refused."""
    if options.get("timer"):
        from execd_agent.collectors.timers import TimerClock  # noqa: PLC0415 - what few ask for

        return TimerClock(options["timer"], options.get("timeunit"))
    if options.get("clock") == "cpu":
        return CpuClock()
    raise Refused("no clock %r: choose wall or cpu" % (options.get("clock"),))


class CpuClock:
    """The CPU time of each thread."""

    broken = ""
    is_measured = True

    def __init__(self) -> None:
        self.read: Any = thread_time_ns
        self._began: dict[int, int] = {}
        self._ended: dict[int, int] | None = None

    def begin(self) -> None:
        """The recording begins."""
        self._began = _cpu_times()

    def end(self) -> None:
        """It has ended."""
        self._ended = _cpu_times()

    def numbers(self) -> list[int]:
        """Return the system's numbers of the threads that there are now, or were at the end."""
        return list(_cpu_times() if self._ended is None else self._ended)

    def began_ns(self, native_id: int) -> int | None:
        """Return what a thread had used at the begin."""
        return self._began.get(native_id)

    def now_ns(self, native_id: int) -> int | None:
        """Return what a thread has used, or had at the end."""
        return cpu_ns_of(native_id) if self._ended is None else self._ended.get(native_id)


def _cpu_times() -> dict[int, int]:
    try:
        numbers = [int(name) for name in posix.listdir(_TASKS)]
    except Exception:  # noqa: BLE001 - without /proc, or for an audit hook of the target's; then nobody knows
        return {}
    found = {number: cpu_ns_of(number) for number in numbers}
    return {number: used_ns for number, used_ns in found.items() if used_ns is not None}


def cpu_ns_of(native_id: int) -> int | None:
    """Return the CPU time of a thread of this process, None where it is no more."""
    try:
        # The number of its clock in Linux; pthread_getcpuclockid would read memory that an ended thread has given back.
        return clock_gettime_ns(~native_id << 3 | 6)
    except OSError:
        return None
