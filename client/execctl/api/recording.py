"""A recording: the sessions of one attach, which end with its `with` block."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Self, TypeVar, overload

from execctl.api.profile import Profile
from execctl.errors import ClientError, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from execctl.api.process import Process
    from execctl.api.session import Attachment, Session
    from execctl.api.stored import StoredProfile
    from execctl.client import Client

_Kind = TypeVar("_Kind", bound=Profile)


class Recording:
    """The sessions that an attach started; a context manager, whose end is that of the recording.

    Then the sessions are stopped, and the agent is taken out where it came with them.

    Attributes:
        attachment: what the attach did.
        sessions: as they were last seen.
        residue: what stays in the process, one sentence each; known at the end.
    """

    def __init__(self, client: Client, attachment: Attachment) -> None:
        self._client = client
        self._ended = False
        self.attachment = attachment
        self.sessions = attachment.sessions
        self.residue: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def target(self) -> Process:
        """The process."""
        return self.attachment.target

    def snapshot(self, name: str = "", *, confirmed: bool = False) -> list[StoredProfile]:
        """Store a profile of each session, which go on; in their order.

        Args:
            name: what to call these profiles, or "".
            confirmed: also where it holds the process up for more than half a second.
        """
        return [
            stored
            for session in self.sessions
            for stored in self._client.snapshot(session.id, name, confirmed=confirmed)
        ]

    def wait(self, duration_s: float) -> None:
        """Wait for so long, seconds, or until the first of the sessions ends."""
        deadline = time.monotonic() + duration_s
        with closing(self._client.watch(self.sessions[0].id, duration_s)) as told:
            for session in told:
                if session.ended_at is not None or time.monotonic() >= deadline:
                    break

    @overload
    def profile(self) -> Profile: ...

    @overload
    def profile(self, kind: type[_Kind]) -> _Kind: ...

    def profile(self, kind: type[Profile] = Profile) -> Profile:
        """Return what was recorded until now, as a value; of several modes that of the class that is asked for.

        Raises:
            NotFound: nothing of this class was recorded.
        """
        from execctl.api.reading import records  # noqa: PLC0415 - the command line needs no values

        for session in self.sessions:
            if records(session, kind):
                # A tree is more than its root's profile.
                is_over = session.ended_at is not None and not session.children
                ended = session.latest_profile if is_over else ""
                return self._client.profile(ended or session.id, kind)
        raise NotFound(f"nothing that was recorded is a {kind.__name__}")

    def stop(self) -> tuple[Session, ...]:
        """Stop the sessions, store their last profiles, and return them as they ended; the agent stays."""
        return self._stop(lambda _session: lambda: None)

    def end(self, on_wait: Callable[[Session], Callable[[], object]] = lambda _session: lambda: None) -> None:
        """Stop the sessions and leave the process, where the agent came with them and nobody else uses it.

        What has ended before is no error, nor is a process that is gone.

        Args:
            on_wait: returns what is called each second that the end of this session takes.
        """
        if self._ended:
            return
        try:
            self._stop(on_wait)
        finally:
            self._ended = True
            if not self.attachment.joined and all(one.state != "target_gone" for one in self.sessions):
                self._leave()

    def _stop(self, on_wait: Callable[[Session], Callable[[], object]]) -> tuple[Session, ...]:
        stopped = [
            ended for session in self.sessions for ended in self._client.stop(session.id, on_wait=on_wait(session))
        ]
        # With a tree's root those below it end too.
        own = {session.id for session in self.sessions}
        self.sessions = tuple(one for one in stopped if one.id in own)
        return self.sessions

    def _leave(self) -> None:
        """Take the agent out that came for us, unless others use it meanwhile."""
        try:
            self.residue = self._client.detach(self.target.pid, unless_used=True).residue
        except ClientError as error:
            # What was recorded is stored, and is what was asked for.
            self._client.tell(f"not left: {error.message}")
        for sentence in self.residue:
            self._client.tell(f"left in the target: {sentence}")
