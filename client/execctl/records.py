"""The records of --json, as docs/commands.md describes them; fields are added, never renamed or removed.

Times are seconds since the epoch, or null where there is none yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from execctl.api.everyone import OpenGroup
    from execctl.api.process import Check, Process
    from execctl.api.session import Overhead, Session
    from execctl.api.stored import StoredProfile


def process_record(process: Process) -> dict[str, object]:
    """Return a process as `ps --json` shows it."""
    facts = _picked(process, "pid", "start_ticks", "boot_id", "uid", "user")
    facts["command_line"] = list(process.command_line)
    return {**facts, **_picked(process, "executable", "python_version", "in_other_root", "attached", "reason")}


def check_record(check: Check) -> dict[str, object]:
    """Return a check as `doctor --json` shows it."""
    return _picked(check, "name", "outcome", "detail", "remedy", "exit_code")


def session_record(session: Session) -> dict[str, object]:
    """Return a session as `sessions --json` shows it."""
    facts = _picked(session, "id", "name", "group", "pid")
    facts["command_line"] = list(session.command_line)
    facts |= _picked(
        session, "python_version", "collector", "options", "form", "state", "started_at", "ended_at", "reason"
    )
    facts |= {"caveats": list(session.caveats), "latest_profile": session.latest_profile}
    facts |= {"labels": dict(sorted(session.labels.items())), "into": session.into, "children": session.children}
    cost, told = session.overhead, ("events_per_s", "event_ns", "share", "span_s", "recorded")
    return {**facts, "overhead": None if cost is None else _picked(cost, *told)}


def open_group_record(group: OpenGroup) -> dict[str, object]:
    """Return a group that processes come to as `sessions --json` shows it."""
    facts = _picked(group, "id", "name", "collector", "options", "started_at")
    return {**facts, "labels": dict(sorted(group.labels.items()))}


def profile_record(profile: StoredProfile) -> dict[str, object]:
    """Return a stored profile as `profiles --json` shows it."""
    span = ("started_at", "ended_at", "nodes", "stored_bytes")
    facts = _picked(profile, "id", "name", "session", "collector", "reason", "pid", *span, "running")
    return {**facts, "labels": dict(sorted(profile.labels.items()))}


def _picked(value: Process | Check | Session | OpenGroup | Overhead | StoredProfile, *names: str) -> dict[str, object]:
    """Return fields of a value that stand in JSON as they are."""
    return {name: getattr(value, name) for name in names}
