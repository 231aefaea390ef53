"""A census of a process: attach where nobody is, count, leave where this came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execctl.errors import PartialData
from execctl.query import SessionSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from execctl.api.session import Session
    from execctl.client import Client


def take_census(
    client: Client,
    target: str,
    *,
    referrers: str = "",
    confirmed: bool = False,
    max_memory_bytes: int = 0,
    on_wait: Callable[[str], object] = lambda _place: None,
    on_end: Callable[[Session], Callable[[], object]] = lambda _session: lambda: None,
) -> str:
    """Count the live objects of a process, and return the profile that holds the result, "p34".

    Args:
        client: of the daemon.
        target: a PID, or a name that fits one process alone.
        referrers: a type whose referrers are counted too, or "".
        confirmed: whether the target may be held up for more than half a second.
        max_memory_bytes: that it may take in the target, 0 for the daemon's default.
        on_wait: as of an attach.
        on_end: as of a recording's end.

    Raises:
        ClientError: as of an attach; UsageError where it would hold the target up for long; PartialData where nothing
            came of it.
    """
    options: dict[str, object] = {"confirmed": confirmed, **({"referrers": referrers} if referrers else {})}
    options |= {"max_memory_bytes": max_memory_bytes} if max_memory_bytes else {}
    recording = client.attach(target, [SessionSpec("census", options)], on_wait=on_wait)
    recording.end(on_end)
    stored = [one.latest_profile for one in recording.sessions if one.latest_profile]
    if not stored:
        reason = ", ".join(one.reason or one.state for one in recording.sessions)
        raise PartialData(f"the census came to nothing: {reason}")
    return stored[0]
