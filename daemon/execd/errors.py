"""Every error that execd raises on purpose, as one tree.

An error is raised where the fact is known and carries the facts as attributes; `rpc/status.py` and `execctl/cli.py`
translate it at the edge. `kind` is the stable name that travels to the client, `exit_code` what `execctl` ends with,
`remedy` what the user can do about it.
"""

from __future__ import annotations

from typing import ClassVar


class ExecdError(Exception):
    """Something that execd can explain: what happened, to which thing, and what to do."""

    kind: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 10

    def __init__(self, message: str, *, remedy: str = "", **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.facts: dict[str, str] = {name: str(value) for name, value in facts.items()}


class UsageError(ExecdError):
    """The request contradicts itself, or names something in a way that does not parse."""

    kind = "usage"
    exit_code = 2


class Ambiguous(ExecdError):
    """More than one candidate fits; the facts list them."""

    kind = "ambiguous"
    exit_code = 2


class AlreadyRunning(ExecdError):
    """A daemon of this user already holds the run directory."""

    kind = "already_running"
    exit_code = 0


class TargetGone(ExecdError):
    """The process ended, or was replaced by another one with the same PID."""

    kind = "target_gone"
    exit_code = 4


class NotPermitted(ExecdError):
    """The kernel or another tool's claim forbids the attach."""

    kind = "not_permitted"
    exit_code = 5


class NotSupported(ExecdError):
    """The target is of a kind that execd cannot attach to safely."""

    kind = "not_supported"
    exit_code = 6


class AttachTimeout(ExecdError):
    """The target did not reach a safe point in time; it goes on as before."""

    kind = "attach_timeout"
    exit_code = 7


class AttachBusy(ExecdError):
    """The target is at an instant at which it must not be touched; trying again shortly helps."""

    kind = "attach_busy"
    exit_code = 7


class AgentFailed(ExecdError):
    """The agent in the target answered with an error, or with bytes that break the protocol."""

    kind = "agent_failed"
    exit_code = 8


class AgentSilent(AgentFailed):
    """The agent has not answered in time: the target does not let it run now. The link is whole."""

    kind = "agent_silent"


class CollectorRefused(ExecdError):
    """A collector cannot run in this target now; the message names who or what is in the way."""

    kind = "collector_refused"
    exit_code = 6


class NotFound(ExecdError):
    """No session, profile or target of that name."""

    kind = "not_found"
    exit_code = 9


class StoreFull(ExecdError):
    """The disk that holds the store takes no more; recording stopped, targets are unharmed."""

    kind = "store_full"
    exit_code = 8


class StoreUnusable(StoreFull):
    """The data directory cannot be written to, for another reason than a full disk."""

    kind = "store_unusable"


class ProfileCorrupt(ExecdError):
    """A stored or received profile breaks the rules of the format."""

    kind = "profile_corrupt"
    exit_code = 10


class StoreTooNew(ExecdError):
    """The data directory was written by a newer execd."""

    kind = "store_too_new"
    exit_code = 10


class SocketPathTooLong(ExecdError):
    """A unix socket's path may be 107 bytes long at most (sun_path in sys/un.h)."""

    kind = "socket_path_too_long"
    exit_code = 2


class UnsafeDirectory(ExecdError):
    """A directory that must be private belongs to somebody else or is open to others."""

    kind = "unsafe_directory"
    exit_code = 5


class DataDirectoryInUse(ExecdError):
    """A daemon with another socket writes into the data directory; two would tear each other's store."""

    kind = "data_directory_in_use"
    exit_code = 2


class DaemonFailed(ExecdError):
    """The daemon did not start, or did not end, in time."""

    kind = "daemon_failed"
    exit_code = 10


class TooManyStreams(ExecdError):
    """The daemon answers as many streams at once as it has threads for."""

    kind = "too_many_streams"
    exit_code = 10
