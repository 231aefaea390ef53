"""Whether the kernel lets us trace a process, asked without tracing it, and which rule forbids it."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from execd.attach import process
from execd.errors import NotPermitted, NotSupported, TargetGone

_YAMA_SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")
_LOWER = "sysctl kernel.yama.ptrace_scope=0"
_RULES = {
    1: (
        "1: only ancestors of a process may trace it, or who it permits",
        f"run execd as root or with CAP_SYS_PTRACE, or: {_LOWER}, or have the program call "
        "prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY)",
    ),
    2: ("2: only CAP_SYS_PTRACE may trace", f"run execd as root or with CAP_SYS_PTRACE, or: {_LOWER}"),
    3: ("3: nobody may trace", "it cannot be lowered while the system runs: set it lower at the next boot"),
}


def yama_scope(path: Path = _YAMA_SCOPE) -> int:
    """Return the rule of the yama security module, 0 where the kernel has none."""
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return 0


def user_name(uid: int) -> str:
    """Return a user's name, or the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def require_user(pid: int, uid: int) -> None:
    """Raise where a process is another user's: the kernel lets root trace everybody's, others their own.

    Args:
        pid: the process.
        uid: its real user.

    Raises:
        NotPermitted: it is another user's, and this one is not root.
    """
    ours = os.geteuid()
    if ours not in (0, uid):
        whose = user_name(uid)
        raise NotPermitted(
            f"process {pid} belongs to user {whose}, and this daemon runs as user {user_name(ours)}",
            remedy=f"run execctl as that user, or as root: sudo {'' if uid == 0 else f'-u {whose} '}execctl ...",
            pid=pid,
            uid=uid,
        )


def require_program(pid: int) -> None:
    """Raise where a number is of a thread of the kernel: it has no memory, as a process that has ended.

    Args:
        pid: the process.

    Raises:
        NotSupported: it is one.
    """
    if process.is_of_kernel(pid):
        raise NotSupported(
            f"process {pid} is not CPython: it is a thread of the kernel",
            remedy="list those that are: execctl ps",
            pid=pid,
        )


def require_access(pid: int, scope: int) -> None:
    """Raise where the kernel forbids to trace a process: to open its memory asks for the same right.

    Args:
        pid: the process.
        scope: the rule of yama that is in force, see `yama_scope`.

    Raises:
        NotPermitted: it forbids that.
        NotSupported: it is a thread of the kernel.
        TargetGone: the process has ended.
    """
    try:
        os.close(os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC))
    except (FileNotFoundError, ProcessLookupError):
        require_program(pid)
        raise TargetGone(f"process {pid} has ended", pid=pid) from None
    except PermissionError:
        raise _forbidden(pid, scope) from None


def _forbidden(pid: int, scope: int) -> NotPermitted:
    if scope in _RULES:
        rule, remedy = _RULES[scope]
        message = f"the kernel does not let this user trace process {pid}: kernel.yama.ptrace_scope is {rule}"
        return NotPermitted(message, remedy=remedy, pid=pid, ptrace_scope=scope)
    return NotPermitted(
        f"the kernel does not let this user trace process {pid}: it is not dumpable, "
        "has capabilities that execd lacks, or a security module forbids it",
        remedy="run execd as root or with CAP_SYS_PTRACE",
        pid=pid,
    )
