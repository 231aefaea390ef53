"""Target: one process, known by more than its PID."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class TargetKey:
    """What makes a process itself: a PID alone is reused.

    Attributes:
        boot_id: /proc/sys/kernel/random/boot_id.
        pid: the PID in the daemon's PID namespace.
        start_ticks: field 22 of /proc/PID/stat, clock ticks after boot.
    """

    boot_id: str
    pid: int
    start_ticks: int


@dataclass(frozen=True, slots=True)
class Target:
    """A process with what is known of it when it was looked at.

    Attributes:
        key: its identity.
        uid: the real user id that it runs under.
        command_line: its argv, undecodable bytes as surrogate escapes.
        executable: the path of its executable in its own root.
        python_version: "3.11.7"; only "3.9" or "3.10" where a patch level is not known before the attach; "" unknown.
        in_other_root: its root directory is not the daemon's.
    """

    key: TargetKey
    uid: int
    command_line: tuple[str, ...]
    executable: str
    python_version: str
    in_other_root: bool = False


class Outcome(Enum):
    """What came of a check: UNKNOWN is no hindrance to a try, UNNEEDED has nothing to look at."""

    PASSED = "pass"
    FAILED = "fail"
    UNKNOWN = "not known"
    UNNEEDED = "not needed"


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of an attach, looked at for one process.

    Attributes:
        name: the condition.
        outcome: what came of it.
        detail: what was found.
        remedy: what to do where it failed.
        exit_code: what execctl ends with where an attach fails for it, else 0.
    """

    name: str
    outcome: Outcome
    detail: str
    remedy: str = ""
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A process on the machine as `execctl ps` lists it.

    Attributes:
        target: the process.
        user: its user's name, or the number where there is none.
        attached: this daemon's agent is in it.
        reason: why it cannot be attached to, "" where nothing is known to forbid it.
        checks: every condition of an attach, where they were asked for.
        place: where its main thread is now, "" where that was not asked for.
    """

    target: Target
    user: str
    attached: bool
    reason: str
    checks: tuple[Check, ...] = ()
    place: str = ""
