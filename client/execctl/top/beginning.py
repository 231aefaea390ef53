"""What `top` looks at: a session of samples that goes on, or one that it begins, and then ends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from execctl import output
from execctl.errors import NotFound, UsageError
from execctl.tables import PROCESS_HEAD, process_row
from execctl.top.feed import Feed

if TYPE_CHECKING:
    from execctl.api.recording import Recording
    from execctl.client import Client
    from execctl.interrupts import Bell
    from execctl.query import SessionSpec

# After so long without an answer it is said that one is waited for.
_PATIENCE_S: Final = 2.0
# A session that is begun here ends by itself where this process dies before it reads it.
_UNREAD_S: Final = 10.0
_SESSION: Final = re.compile(r"[sg][0-9]+")


@dataclass(frozen=True, slots=True)
class Begun:
    """What is looked at.

    Attributes:
        feed: brings its windows.
        recording: what was begun for it, None where it went on before.
    """

    feed: Feed
    recording: Recording | None


def begin(client: Client, bell: Bell, word: str, spec: SessionSpec, interval_s: float, *, anew: bool) -> Begun:
    """Return what a word means, begun where it does not go on.

    Args:
        client: of the daemon.
        bell: rung when something comes.
        word: a session, a PID, a name; "" the only session of samples, or the only process.
        spec: of a session that is begun.
        interval_s: how long a window is.
        anew: begin one in any case.

    Raises:
        ClientError: there is nothing to look at, or too much.
    """
    if not anew:
        feed = Feed(client, word, interval_s, bell.ring)
        _await(feed, bell)
        if not _is_to_begin(feed, word):
            return Begun(feed, None)
    recording = client.attach(word or _only_process(client), [spec], duration_s=_UNREAD_S)
    feed = Feed(client, recording.sessions[0].id, interval_s, bell.ring, stop_at_end=True)
    _await(feed, bell)
    return Begun(feed, recording)


def _await(feed: Feed, bell: Bell) -> None:
    is_told = False
    while not feed.session and not feed.has_ended:
        if not bell.wait(_PATIENCE_S) and not is_told:
            output.meanwhile("waiting for the daemon; Ctrl-C gives it up")
            is_told = True


def _is_to_begin(feed: Feed, word: str) -> bool:
    """Whether nothing goes on that a word of no session could mean; what else is in the way is raised."""
    if feed.failure is not None:
        raise feed.failure
    if feed.error is None or feed.session:
        return False
    if isinstance(feed.error, NotFound) and not _SESSION.fullmatch(word):
        return True
    raise feed.error


def _only_process(client: Client) -> str:
    """Return the PID of the only process; of several a table is printed."""
    found = client.processes()
    free = [process for process in found if not process.reason] or found
    if len(free) == 1:
        return str(free[0].pid)
    if not found:
        raise NotFound("there is no Python process to look at", remedy="list them: execctl ps")
    output.write_table(PROCESS_HEAD, map(process_row, found), prose=1)
    raise UsageError(f"there are {len(free)} Python processes", remedy=f"name one: execctl top {free[0].pid}")
