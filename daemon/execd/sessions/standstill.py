"""A process that stands still: stopped by a signal or a debugger, or frozen by its cgroup. Its agent cannot answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from execd.attach import process, waiting
from execd.errors import AgentSilent, ExecdError
from execd.model.collector import SAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from execd.sessions.armed import Running
    from execd.sessions.recorded import Recorded

# A shell, a debugger or a sampler may stop a process for an instant.
_PATIENCE_S = 1.0
_LOOK_S = 0.05


def standstill(pid: int, patience_s: float = _PATIENCE_S) -> AgentSilent | None:
    """Return the error that says why a process stands still, None where it runs, or does within `patience_s`."""
    deadline = time.monotonic() + patience_s
    while (why := _why(pid)) is not None and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    return why


def check_can_end(rows: Iterable[tuple[Recorded, Running]]) -> None:
    """Raise AgentSilent where a process stands still that alone has what a session of it recorded.

    Args:
        rows: sessions that are to be stopped, with their targets.
    """
    alone = [
        live.target.key.pid
        for live, running in rows
        if running.armed.collector != SAMPLES.name and running.armed.native is None
    ]
    for pid in dict.fromkeys(alone):
        why = standstill(pid)
        if why is not None:
            raise why


def _why(pid: int) -> AgentSilent | None:
    try:
        status = process.status(pid)
        is_frozen = waiting.is_frozen(pid)
    except ExecdError:
        # It has ended, which its link tells, or we may not look.
        return None
    if status.state == "T":
        what, remedy = "is stopped by a signal (state T: SIGSTOP, Ctrl-Z)", f"let it run, then repeat: kill -CONT {pid}"
    elif status.state == "t":
        what = f"is stopped by the debugger that traces it (PID {status.tracer_pid})"
        remedy = "let it run on there, then repeat"
    elif is_frozen:
        what, remedy = "is frozen by its cgroup", "thaw it (resume its container), then repeat"
    else:
        return None
    return AgentSilent(f"process {pid} {what}: its agent cannot answer", remedy=remedy, pid=pid)
