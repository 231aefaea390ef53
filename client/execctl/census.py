"""A census of a process: attach where nobody is, count, leave where this came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execctl.errors import ClientError
from execctl.exits import ExitCode
from execctl.query import SessionSpec
from execctl.recording import end
from execctl.records import state_name
from execctl.waiting import Waiting

if TYPE_CHECKING:
    from execctl.client import Client

ATTACH_TIMEOUT_MS = 10_000


def take_census(
    client: Client, target: str, *, referrers: str = "", confirmed: bool = False, max_memory_bytes: int = 0
) -> str:
    """Count the live objects of a process, and return the profile that holds the result, "p34".

    Args:
        client: of the daemon.
        target: a PID, or a name that fits one process alone.
        referrers: a type whose referrers are counted too, or "".
        confirmed: whether the target may be held up for more than half a second.
        max_memory_bytes: that it may take in the target, 0 for the daemon's default.

    Raises:
        ClientError: as of an attach; of kind "usage" where it would hold the target up for long.
    """
    options: dict[str, object] = {"confirmed": confirmed, **({"referrers": referrers} if referrers else {})}
    options |= {"max_memory_bytes": max_memory_bytes} if max_memory_bytes else {}
    attached = client.attach(
        target,
        [SessionSpec("census", options)],
        timeout_ms=ATTACH_TIMEOUT_MS,
        name="",
        on_wait=Waiting(target, ATTACH_TIMEOUT_MS, "counted").tell,
    )
    ended = [session for session in end(client, attached) if session.spec.collector == "census"]
    for session in ended:
        if session.latest_profile:
            return session.latest_profile
    reason = ", ".join(session.reason or state_name(session) for session in ended)
    raise ClientError(f"the census came to nothing: {reason}", kind="partial", exit_code=ExitCode.PARTIAL_DATA)
