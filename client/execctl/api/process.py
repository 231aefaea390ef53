"""A process that can be measured, and the checks of an attach to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of an attach, looked at for one process.

    Attributes:
        name: the condition.
        outcome: "pass", "fail", "not known" or "not needed"; "unspecified" of a newer daemon's.
        detail: what was found.
        remedy: what to do where it failed, or "".
        exit_code: what `execctl attach` ends with where it fails for it, else 0.
    """

    name: str
    outcome: str
    detail: str
    remedy: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Process:
    """A CPython process.

    Attributes:
        pid: its number, as the daemon sees it.
        start_ticks: its start, in clock ticks after boot; with boot_id and pid it is this process and no other.
        boot_id: which boot that was.
        uid: its real user's number.
        user: that user's name, "" where it was not asked for.
        command_line: its argv.
        executable: the path of its executable, in its own root.
        python_version: "3.11.7"; "3.9" or "3.10" where the patch level is not known before an attach; "": unknown.
        in_other_root: its root directory is not the daemon's.
        attached: this daemon's agent is in it.
        reason: why it cannot be attached to; "" where nothing is known to forbid it.
        checks: every check of an attach, in their order; empty but of `Client.doctor`.
        place: where its main thread is, "in system call read"; "" but of `Client.doctor`.
    """

    pid: int
    start_ticks: int
    boot_id: str
    uid: int
    user: str
    command_line: tuple[str, ...]
    executable: str
    python_version: str
    in_other_root: bool
    attached: bool
    reason: str
    checks: tuple[Check, ...]
    place: str

    @property
    def exit_code(self) -> int:
        """What `execctl attach` would end with: 0 where an attach would be tried."""
        return next((check.exit_code for check in self.checks if check.exit_code), 0)
