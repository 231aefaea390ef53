"""Which running trace a user means who wants to follow one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.sessions import selection

if TYPE_CHECKING:
    from execd.sessions.armed import Running
    from execd.sessions.registry import Registry
    from execd.sessions.stream.log import EventLog


def running_log(registry: Registry, selector: str) -> tuple[str, EventLog] | None:
    """Return the session and the log of the running trace that a word means, None where none runs that fits.

    Args:
        registry: of the daemon.
        selector: a session, a PID, a name; "" the only running trace.

    Raises:
        Ambiguous: there are several.
    """
    lives = registry.live_targets()
    traced = [(live, running) for live in lives for running in list(live.running.values()) if running.armed.feed]
    sessions, targets = [running.session for _, running in traced], [live.target for live, _ in traced]
    meant = selection.live_meaning(selector, sessions, targets, lambda _: False)
    fitting = [running for live, running in traced if meant in ("", running.session.id, str(live.target.key.pid))]
    if not fitting:
        return None
    session = selection.only([running.session for running in fitting], "running trace")
    return next((found for running in fitting if running.session is session and (found := _log(running))), None)


def _log(running: Running) -> tuple[str, EventLog] | None:
    log = running.armed.feed.logs.get(running.session.id) if running.armed.feed is not None else None
    return None if log is None else (running.session.id, log)
