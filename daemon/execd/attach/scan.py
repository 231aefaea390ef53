"""The CPython processes of the machine, found without touching any of them."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from execd.attach import process, rootfs
from execd.attach.access import require_user, user_name
from execd.attach.checks import refuse
from execd.attach.subject import Subject
from execd.errors import AttachBusy, ExecdError, NotPermitted, NotSupported, TargetGone
from execd.model.target import Candidate, Target

if TYPE_CHECKING:
    from collections.abc import Collection

    from execd.attach.interpreter import Finder
    from execd.model.target import TargetKey


def look_at(pid: int) -> Target:
    """Return a process as a target, its Python version not looked for.

    Raises:
        TargetGone: there is no such process.
        NotPermitted: this user may not look into it.
    """
    try:
        key = process.target_key(pid)
    except TargetGone:
        raise TargetGone(
            f"there is no process {pid}", remedy="list those that there are: execctl ps", pid=pid
        ) from None
    facts = process.status(pid)
    if facts.state in "ZX":
        raise TargetGone(f"process {pid} has ended (it is a zombie)", pid=pid)
    try:
        return Target(
            key=key,
            uid=facts.uid,
            command_line=process.command_line(pid),
            executable=rootfs.executable_path(pid),
            python_version="",
            in_other_root=rootfs.in_other_root(pid),
        )
    except NotPermitted:
        require_user(pid, facts.uid)
        raise


def closed(pid: int) -> Candidate:
    """Return a process that this user may not look into, with what everybody can see. Raises TargetGone."""
    key, uid = process.target_key(pid), process.status(pid).uid
    command_line = process.command_line(pid)
    target = Target(key, uid, command_line, command_line[0] if command_line else "", "")
    reason = f"belongs to user {user_name(uid)}"
    if uid == os.geteuid():
        reason = "the kernel does not let this user trace it (kernel.yama.ptrace_scope, or a process that forbids it)"
    return Candidate(target, user_name(uid), attached=False, reason=reason)


def candidate(pid: int, finder: Finder, marker: str, attached: Collection[TargetKey]) -> Candidate:
    """Return a process with what is known to forbid an attach. Raises as look_at does."""
    target = look_at(pid)
    target = replace(target, python_version=finder.version(pid))
    reason = "" if target.python_version else "no CPython found in it"
    if not reason:
        reason = _reason(Subject(pid, marker, finder))
    return Candidate(target, user_name(target.uid), target.key in attached, reason)


def candidates(
    finder: Finder, marker: str, attached: Collection[TargetKey], left_out: Collection[int]
) -> list[Candidate]:
    """Return the CPython processes that this user can see, by PID.

    Args:
        finder: reads ELF files.
        marker: what this daemon's agents leave.
        attached: targets with an agent of this daemon.
        left_out: processes of execd's own.
    """
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in left_out:
            continue
        row: Candidate | None
        try:
            row = candidate(int(name), finder, marker, attached)
        except NotPermitted:
            row = _closed_to_us(int(name))
        except (TargetGone, NotSupported):
            continue
        if row is not None and (row.target.python_version or row.reason != "no CPython found in it"):
            found.append(row)
    return sorted(found, key=lambda row: row.target.key.pid)


def _reason(subject: Subject) -> str:
    """Return what forbids an attach, as far as that shows without stopping anything."""
    try:
        refuse(subject)
    except AttachBusy:
        return ""  # the next instant may be another one
    except ExecdError as error:
        return error.message
    return ""


def _closed_to_us(pid: int) -> Candidate | None:
    """Return another user's process whose name says python: more is not to be seen."""
    try:
        row = closed(pid)
    except ExecdError:
        return None
    return row if "python" in os.path.basename(row.target.executable) else None
