"""What makes sense next, and what is shown at once, by what was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execctl.query import ReportQuery

if TYPE_CHECKING:
    from collections.abc import Sequence

# Reports that have no limit of their own are cut after so many lines.
SUMMARY_LINES = 40
_CALLS = "15"


def summary(profile: str, collector: str) -> ReportQuery | None:
    """Return the query for what is shown of a recording that has just ended, None where it has been shown already."""
    if collector == "trace":
        return None
    return ReportQuery(profile, "text", limit=(_CALLS,) if collector == "calls" else ())


def after_profile(profile: str, collector: str) -> tuple[str, ...]:
    """Return the commands that show more of a profile."""
    report = f"execctl report {profile}"
    match collector:
        case "lines" | "cover":
            return f"{report} --summary", f"{report} --missing --coverdir DIR"
        case "memory":
            return report, f"{report} --by traceback"
    return (report,)


def after_end(profiles: Sequence[str]) -> tuple[str, ...]:
    """Return the command that shows what was recorded by sessions that have just ended; their table has the others."""
    return tuple(f"execctl report {profile}" for profile in [one for one in profiles if one][:1])


def after_snapshot(profile: str, collector: str, pid: int) -> tuple[str, ...]:
    """Return the commands that make sense of a snapshot while the recording goes on."""
    if collector == "memory":
        return f"execctl report {profile}", "execctl snapshot --compare", f"execctl growth {pid}"
    return after_profile(profile, collector)


def while_running(session: str, collector: str) -> tuple[str, ...]:
    """Return the commands that make sense of a session that has just begun."""
    match collector:
        case "trace":
            return (f"execctl follow {session}",)
        case "memory":
            return f"execctl snapshot {session}", f"execctl snapshot {session} --compare"
    return (f"execctl report {session}",)


def cut(text: bytes, profile: str) -> bytes:
    """Return the first SUMMARY_LINES of a text, with where to read the others."""
    lines = text.splitlines(keepends=True)
    left_out = len(lines) - SUMMARY_LINES
    if left_out <= 0:
        return text
    return b"".join([*lines[:SUMMARY_LINES], f"({left_out} lines more: execctl report {profile})\n".encode()])
