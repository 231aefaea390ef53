"""What execctl and its Python API raise on purpose: one tree. `cli.py` prints an error and exits with its code.

Most come from the daemon, which sends kind, message, remedy, facts and exit code; `failure.py` makes these of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from execctl.exits import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping


class ClientError(Exception):
    """Something failed for a reason that can be told; the root of the tree.

    Attributes:
        kind: stable name, "target_gone".
        message: one sentence, what happened and to which thing; may hold text that came from a target.
        remedy: what the user can do about it, or "".
        facts: the facts behind the message, by name.
        exit_code: what execctl ends with.
    """

    kind: str = "internal"
    exit_code: int = ExitCode.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        facts: Mapping[str, str] | None = None,
        kind: str = "",
        exit_code: int | None = None,
    ) -> None:
        """Tell what happened.

        Args:
            message: as the attribute.
            remedy: as the attribute.
            facts: as the attribute.
            kind: where it is not that of the class: a newer daemon has kinds that are not known here.
            exit_code: likewise.
        """
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.facts = dict(facts or {})
        if kind:
            self.kind = kind
        if exit_code is not None:
            self.exit_code = exit_code


class UsageError(ClientError, ValueError):
    """What was asked contradicts itself, does not fit what it is asked of, or does not parse."""

    kind = "usage"
    exit_code = ExitCode.USAGE


class Ambiguous(ClientError, LookupError):
    """More than one thing is called so; the facts list them."""

    kind = "ambiguous"
    exit_code = ExitCode.USAGE


class NotFound(ClientError, LookupError):
    """No session, profile or process is called so."""

    kind = "not_found"
    exit_code = ExitCode.NOT_FOUND


class TargetGone(ClientError):
    """The process ended, or was replaced by another one with the same PID."""

    kind = "target_gone"
    exit_code = ExitCode.TARGET_GONE


class NotPermitted(ClientError):
    """The kernel, another user's daemon or another tool's claim forbids it."""

    kind = "not_permitted"
    exit_code = ExitCode.NOT_PERMITTED


class NotSupported(ClientError):
    """The process or interpreter is of a kind that execd cannot measure safely."""

    kind = "not_supported"
    exit_code = ExitCode.NOT_SUPPORTED


class CollectorRefused(ClientError):
    """A mode cannot run in this process now; the message names who or what is in the way."""

    kind = "collector_refused"
    exit_code = ExitCode.NOT_SUPPORTED


class AttachTimeout(ClientError):
    """The process did not reach a point at which it can be attached to; it goes on as before."""

    kind = "attach_timeout"
    exit_code = ExitCode.ATTACH_TIMEOUT


class AttachBusy(ClientError):
    """The process must not be touched at this instant; trying again shortly helps."""

    kind = "attach_busy"
    exit_code = ExitCode.ATTACH_TIMEOUT


class PartialData(ClientError):
    """Less was recorded than was asked for."""

    kind = "partial"
    exit_code = ExitCode.PARTIAL_DATA


class AgentFailed(ClientError):
    """The agent in the process answered with an error, or with bytes that break the protocol."""

    kind = "agent_failed"
    exit_code = ExitCode.PARTIAL_DATA


class AgentSilent(ClientError):
    """The agent has not answered in time: the process does not let it run now."""

    kind = "agent_silent"
    exit_code = ExitCode.PARTIAL_DATA


class StoreFull(ClientError):
    """The disk that holds the store takes no more; recording stopped, processes are unharmed."""

    kind = "store_full"
    exit_code = ExitCode.PARTIAL_DATA


class StoreUnusable(ClientError):
    """The daemon's data directory cannot be written to, for another reason than a full disk."""

    kind = "store_unusable"
    exit_code = ExitCode.PARTIAL_DATA


class ProfileCorrupt(ClientError):
    """A stored or received profile breaks the rules of the format."""

    kind = "profile_corrupt"


class TooManyStreams(ClientError):
    """The daemon answers as many streams at once as it has threads for."""

    kind = "too_many_streams"


class NoDaemon(ClientError):
    """No daemon runs, and none may be or could be started; or it has ended meanwhile."""

    kind = "no_daemon"
    exit_code = ExitCode.NO_DAEMON


class DaemonSilent(ClientError):
    """The daemon is there and does not answer."""

    kind = "daemon_silent"
    exit_code = ExitCode.NO_DAEMON


class DaemonTooOld(ClientError):
    """The daemon does not know a call: it is older than this client."""

    kind = "daemon_too_old"


class CannotWrite(ClientError):
    """A file or standard output takes nothing."""

    kind = "cannot_write"
    exit_code = ExitCode.USAGE


class SocketPathTooLong(ClientError):
    """A unix socket's path may be 107 bytes long at most."""

    kind = "socket_path_too_long"
    exit_code = ExitCode.USAGE


class Closed(ClientError):
    """The client was closed; what it needed a daemon for cannot be had from it any more."""

    kind = "closed"
    exit_code = ExitCode.USAGE


_CLASSES = (
    UsageError,
    Ambiguous,
    NotFound,
    TargetGone,
    NotPermitted,
    NotSupported,
    CollectorRefused,
    AttachTimeout,
    AttachBusy,
    PartialData,
    AgentFailed,
    AgentSilent,
    StoreFull,
    StoreUnusable,
    ProfileCorrupt,
    TooManyStreams,
    NoDaemon,
    DaemonSilent,
    DaemonTooOld,
    CannotWrite,
    SocketPathTooLong,
    Closed,
)
# By kind; what a newer daemon sends beside is a ClientError of that kind.
BY_KIND: Mapping[str, type[ClientError]] = {one.kind: one for one in _CLASSES}
