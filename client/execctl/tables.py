"""The tables that people read: a head and a row for each kind of thing; `records.py` is for programs."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import TYPE_CHECKING

from execctl.durations import format_duration
from execctl.labels import format_labels
from execctl.records import outcome_name, state_name

if TYPE_CHECKING:
    from execd_api.v1 import profiles_pb2, sessions_pb2, targets_pb2

CANDIDATE_HEAD = ("PID", "USER", "PYTHON", "ATTACHED", "COMMAND", "REASON")
CHECK_HEAD = ("CHECK", "OUTCOME", "FOUND", "REMEDY")
SESSION_HEAD = (
    "SESSION",
    "NAME",
    "PID",
    "COLLECTOR",
    "FORM",
    "STATE",
    "STARTED",
    "LASTED",
    "PROFILE",
    "LABELS",
    "COMMAND",
    "REASON",
)
ENDED_HEAD = ("SESSION", "PID", "COLLECTOR", "STATE", "LASTED", "PROFILE", "REASON")
PROFILE_HEAD = ("PROFILE", "NAME", "SESSION", "PID", "COLLECTOR", "REASON", "ENDED", "SPAN", "NODES", "BYTES", "LABELS")


# The forms of sessions that recorded nothing themselves.
_UNRECORDED = frozenset({"imported", "merged"})


def candidate_row(candidate: targets_pb2.Candidate) -> tuple[str, ...]:
    """Return a process as `ps` shows it."""
    target = candidate.target
    return (
        str(target.pid),
        candidate.user,
        target.python_version or "?",
        "yes" if candidate.attached else "no",
        shlex.join(target.command_line),
        candidate.reason,
    )


def check_row(check: targets_pb2.Check) -> tuple[str, ...]:
    """Return a check as `doctor` shows it."""
    return check.name, outcome_name(check), check.detail, check.remedy


def session_row(session: sessions_pb2.Session) -> tuple[str, ...]:
    """Return a session as `sessions` shows it."""
    return (
        session.id,
        session.name,
        _pid(session),
        session.spec.collector,
        session.form,
        _state(session),
        _time(session.started_at),
        _lasted(session),
        session.latest_profile,
        format_labels(session.spec.labels),
        shlex.join(session.command_line),
        session.reason,
    )


def ended_row(session: sessions_pb2.Session) -> tuple[str, ...]:
    """Return a session as `stop` and `detach` show it."""
    return (
        session.id,
        _pid(session),
        session.spec.collector,
        _state(session),
        _lasted(session),
        session.latest_profile,
        session.reason,
    )


def profile_row(profile: profiles_pb2.Profile) -> tuple[str, ...]:
    """Return a stored profile as `profiles` shows it."""
    return (
        profile.id,
        profile.name,
        profile.session,
        _pid(profile),
        profile.collector,
        profile.reason,
        _time(profile.ended_at),
        _span(profile.started_at, profile.ended_at),
        str(profile.nodes),
        str(profile.stored_bytes),
        format_labels(profile.labels),
    )


def _pid(of: sessions_pb2.Session | profiles_pb2.Profile) -> str:
    # What was imported, or added up, is of no process.
    return str(of.pid) if of.pid else "-"


def _state(session: sessions_pb2.Session) -> str:
    name = state_name(session)
    return session.form if session.form in _UNRECORDED and name == "stopped" else name.replace("_", " ")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S") if seconds else ""


def _lasted(session: sessions_pb2.Session) -> str:
    return _span(session.started_at, session.ended_at) if session.ended_at and session.form not in _UNRECORDED else ""


def _span(started_at: float, ended_at: float) -> str:
    return format_duration(max(round((ended_at - started_at) * 1000), 0))
