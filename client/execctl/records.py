"""The records of --json, as docs/commands.md describes them; fields are added, never renamed or removed.

Times are seconds since the epoch, or null where there is none yet.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from execd_api.v1 import profiles_pb2, sessions_pb2, targets_pb2

# The names of SessionState without their prefix, in its order.
STATES = (
    "unspecified",
    "starting",
    "running",
    "stopping",
    "stopped",
    "failed",
    "target_gone",
    "interrupted",
)


# The names of Outcome, in its order.
OUTCOMES = ("unspecified", "pass", "fail", "not known", "not needed")


def outcome_name(check: targets_pb2.Check) -> str:
    """Return what came of a check; an outcome that a newer daemon added is "unspecified"."""
    return OUTCOMES[check.outcome] if check.outcome < len(OUTCOMES) else OUTCOMES[0]


def state_name(session: sessions_pb2.Session) -> str:
    """Return where the session stands, "target_gone"; a state that a newer daemon added is "unspecified"."""
    return STATES[session.state] if session.state < len(STATES) else STATES[0]


def candidate_record(candidate: targets_pb2.Candidate) -> dict[str, object]:
    """Return a process as `ps --json` shows it."""
    target = candidate.target
    return {
        "pid": target.pid,
        "start_ticks": target.start_ticks,
        "boot_id": target.boot_id,
        "uid": target.uid,
        "user": candidate.user,
        "command_line": list(target.command_line),
        "executable": target.executable,
        "python_version": target.python_version,
        "in_other_root": target.in_other_root,
        "attached": candidate.attached,
        "reason": candidate.reason,
    }


def check_record(check: targets_pb2.Check) -> dict[str, object]:
    """Return a check as `doctor --json` shows it."""
    return {**_picked(check, "name"), "outcome": outcome_name(check), **_picked(check, "detail", "remedy", "exit_code")}


def session_record(session: sessions_pb2.Session) -> dict[str, object]:
    """Return a session as `sessions --json` shows it."""
    return {
        "id": session.id,
        "name": session.name,
        "group": session.group,
        "pid": session.pid,
        "command_line": list(session.command_line),
        "python_version": session.python_version,
        "collector": session.spec.collector,
        "options": json.loads(session.spec.options_json or "{}"),
        "form": session.form,
        "state": state_name(session),
        "started_at": session.started_at,
        "ended_at": session.ended_at or None,
        "reason": session.reason,
        "caveats": list(session.caveats),
        "latest_profile": session.latest_profile,
        "labels": dict(sorted(session.spec.labels.items())),
        "into": session.spec.into,
    }


def profile_record(profile: profiles_pb2.Profile) -> dict[str, object]:
    """Return a stored profile as `profiles --json` shows it."""
    span = ("started_at", "ended_at", "nodes", "stored_bytes")
    facts = _picked(profile, "id", "name", "session", "collector", "reason", "pid", *span, "running")
    return {**facts, "labels": dict(sorted(profile.labels.items()))}


def _picked(message: targets_pb2.Check | profiles_pb2.Profile, *names: str) -> dict[str, object]:
    """Return fields of a message that stand in JSON as they are."""
    return {name: getattr(message, name) for name in names}
