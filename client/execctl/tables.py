"""The tables that people read: a head and a row for each kind of thing; `records.py` is for programs."""

from __future__ import annotations

import shlex
import time
from datetime import datetime
from typing import TYPE_CHECKING

from execctl.durations import format_duration
from execctl.labels import format_labels
from execctl.shares import format_share

if TYPE_CHECKING:
    from execctl.api.everyone import OpenGroup
    from execctl.api.process import Check, Process
    from execctl.api.session import Session
    from execctl.api.stored import StoredProfile

PROCESS_HEAD = ("PID", "USER", "PYTHON", "ATTACHED", "COMMAND", "REASON")
CHECK_HEAD = ("CHECK", "OUTCOME", "FOUND", "REMEDY")
SESSION_HEAD = (
    "SESSION",
    "NAME",
    "PID",
    "COLLECTOR",
    "FORM",
    "STATE",
    "EVENTS/S",
    "OVERHEAD",
    "LASTED",
    "PROFILE",
    "STARTED",
    "LABELS",
    "COMMAND",
    "REASON",
)
ENDED_HEAD = ("SESSION", "PID", "COLLECTOR", "STATE", "LASTED", "PROFILE", "REASON")
PROFILE_HEAD = ("PROFILE", "NAME", "SESSION", "PID", "COLLECTOR", "REASON", "ENDED", "SPAN", "NODES", "BYTES", "LABELS")


# The forms of sessions that recorded nothing themselves.
_UNRECORDED = frozenset({"imported", "merged"})


def process_row(process: Process) -> tuple[str, ...]:
    """Return a process as `ps` shows it."""
    return (
        str(process.pid),
        process.user,
        process.python_version or "?",
        "yes" if process.attached else "no",
        shlex.join(process.command_line),
        process.reason,
    )


def check_row(check: Check) -> tuple[str, ...]:
    """Return a check as `doctor` shows it."""
    return check.name, check.outcome, check.detail, check.remedy


def session_row(session: Session, called: str) -> tuple[str, ...]:
    """Return a session as `sessions` shows it, under the name that it is called by there."""
    return (
        called,
        session.name,
        _pid(session),
        session.collector,
        session.form,
        _state(session),
        *_cost(session),
        _lasted(session),
        session.latest_profile,
        _time(session.started_at),
        format_labels(session.labels),
        shlex.join(session.command_line),
        session.reason,
    )


def open_group_row(group: OpenGroup) -> tuple[str, ...]:
    """Return a group that processes come to as `sessions` shows it."""
    waits = f"for Python processes that come: execctl stop {group.id} ends it with all of its sessions"
    started, labels = _time(group.started_at), format_labels(group.labels)
    return (group.id, group.name, "-", group.collector, "", "waits", "", "", "", "", started, labels, "", waits)


def ended_row(session: Session, called: str) -> tuple[str, ...]:
    """Return a session as `stop` and `detach` show it, under the name that it is called by there."""
    return (
        called,
        _pid(session),
        session.collector,
        _state(session),
        _lasted(session),
        session.latest_profile,
        session.reason,
    )


def profile_row(profile: StoredProfile, session: str = "") -> tuple[str, ...]:
    """Return a stored profile as `profiles` shows it, with what its session is called there if not by its id."""
    return (
        profile.id,
        profile.name,
        session or profile.session,
        _pid(profile),
        profile.collector,
        profile.reason,
        _time(profile.ended_at),
        _span(profile.started_at, profile.ended_at),
        str(profile.nodes),
        str(profile.stored_bytes),
        format_labels(profile.labels),
    )


def _pid(of: Session | StoredProfile) -> str:
    # What was imported, or added up, is of no process.
    return str(of.pid) if of.pid else "-"


def _state(session: Session) -> str:
    if session.form in _UNRECORDED and session.state == "stopped":
        return session.form
    return session.state.replace("_", " ")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S") if seconds else ""


def _lasted(session: Session) -> str:
    """Return how long a session recorded, of one that goes on until now."""
    ended_at = session.ended_at or time.time()
    return "" if session.form in _UNRECORDED else _span(session.started_at, ended_at)


def _cost(session: Session) -> tuple[str, str]:
    if session.overhead is None:
        return "", ""
    cost = session.overhead
    slices = f", of {format_share(cost.recorded)} of the time" if cost.recorded < 1 else ""
    return f"{cost.events_per_s:,.0f}", format_share(cost.share) + slices


def _span(started_at: float, ended_at: float) -> str:
    return format_duration(max(round((ended_at - started_at) * 1000), 0))
