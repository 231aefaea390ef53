"""What forbids an attach, found out before anything is touched: each reason with its remedy."""

from __future__ import annotations

import os
import platform
import sys

from execd.attach import process, x86_64
from execd.attach.link import find_markers
from execd.errors import NotPermitted, NotSupported, TargetGone

_STOPPED = {"T": "stopped by a signal", "t": "stopped by a debugger"}
_SWITCH = "PYTHON_DISABLE_REMOTE_DEBUG"


def refuse(pid: int, our_marker: str, mappings: list[process.Mapping]) -> None:
    """Raise the first reason that forbids an attach to a process.

    Args:
        pid: the target.
        our_marker: the marker that this daemon leaves in its targets.
        mappings: its memory map.

    Raises:
        TargetGone, NotPermitted, NotSupported.
    """
    if sys.platform != "linux" or platform.machine() != x86_64.MACHINE:
        raise NotSupported(f"execd attaches on Linux {x86_64.MACHINE} only, this is {platform.machine()}")
    facts = process.status(pid)
    _refuse_state(pid, facts)
    _refuse_user(pid, facts)
    if facts.seccomp:
        raise NotSupported(
            f"process {pid} runs under a seccomp filter, which execd cannot judge yet", remedy="none yet", pid=pid
        )
    if facts.shadow_stack:
        raise NotSupported(f"process {pid} runs with a shadow stack, which borrowing a thread would break", pid=pid)
    if _SWITCH in process.environment(pid):
        raise NotPermitted(f"remote debugging is disabled in process {pid} by {_SWITCH}", pid=pid)
    if any("/ld-musl-" in mapping.path for mapping in mappings):
        raise NotSupported(f"process {pid} uses musl, which is not supported yet", pid=pid)
    _refuse_other_agent(pid, our_marker)


def _refuse_state(pid: int, facts: process.Status) -> None:
    if facts.state in "ZX":
        raise TargetGone(f"process {pid} has ended (it is a zombie)", pid=pid)
    if facts.tracer_pid:
        raise NotPermitted(
            f"process {pid} is being traced by process {facts.tracer_pid}",
            remedy=f"end that debugger or strace first (PID {facts.tracer_pid})",
            pid=pid,
            tracer_pid=facts.tracer_pid,
        )
    if facts.state in _STOPPED:
        raise NotPermitted(f"process {pid} is {_STOPPED[facts.state]}", remedy=f"let it run: kill -CONT {pid}", pid=pid)


def _refuse_user(pid: int, facts: process.Status) -> None:
    if os.geteuid() not in (0, facts.uid):
        raise NotPermitted(
            f"process {pid} belongs to user {facts.uid}, and this daemon runs as user {os.geteuid()}",
            remedy="run execd as that user, or as root",
            pid=pid,
            uid=facts.uid,
        )


def _refuse_other_agent(pid: int, our_marker: str) -> None:
    for marker in find_markers(pid).values():
        _, uid, daemon = marker.split(":", 2)
        if marker != our_marker and daemon.isdigit() and os.path.exists(f"/proc/{daemon}/stat"):
            raise NotPermitted(
                f"process {pid} has the agent of another daemon, process {daemon} of user {uid}",
                remedy=f"detach there first, or stop that daemon (PID {daemon})",
                pid=pid,
                daemon_pid=daemon,
            )
