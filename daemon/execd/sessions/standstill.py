"""A process that stands still: stopped by a signal or a debugger, or frozen by its cgroup. Its agent cannot answer."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
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


def why_still(pid: int) -> str:
    """Return why a process stands still, "" where it runs, has ended, or a sampler of ours holds it for an instant."""
    found = _found(pid)
    return f"process {pid} {found.what}" if found is not None and found.tracer != os.getpid() else ""


@dataclass(frozen=True, slots=True)
class _Still:
    """Why a process stands still, what lets it run on, and the process that traces it, 0 where none does."""

    what: str
    remedy: str
    tracer: int = 0


def _why(pid: int) -> AgentSilent | None:
    found = _found(pid)
    if found is None:
        return None
    return AgentSilent(f"process {pid} {found.what}: its agent cannot answer", remedy=found.remedy, pid=pid)


def _found(pid: int) -> _Still | None:
    try:
        status = process.status(pid)
        is_frozen = waiting.is_frozen(pid)
        if status.state == "T":
            what = "is stopped by a signal (state T: SIGSTOP, Ctrl-Z)"
            return _Still(what, f"let it run, then repeat: kill -CONT {pid}")
        if status.state == "t":
            what = f"is stopped by the debugger that traces it (PID {status.tracer_pid})"
            tracer = process.process_of(status.tracer_pid)[0] if status.tracer_pid else 0
            return _Still(what, "let it run on there, then repeat", tracer)
    except ExecdError:
        # It has ended, which its link tells, or we may not look; or its debugger has.
        return None
    return _Still("is frozen by its cgroup", "thaw it (resume its container), then repeat") if is_frozen else None
