"""How much more memory a process may take before a limit of its own stops it or its group is killed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.attach import process
from execd.errors import ExecdError, NotSupported

if TYPE_CHECKING:
    from collections.abc import Iterator

_CGROUPS = "/sys/fs/cgroup"


@dataclass(frozen=True, slots=True)
class _Controller:
    """Where a version of cgroups has its memory files: the hierarchy's folder, limit, use, and cached files."""

    folder: str
    limit: str
    used: str
    cached: str = "inactive_file"


_V1 = _Controller(_CGROUPS + "/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Controller(_CGROUPS, "memory.max", "memory.current")
# An attach takes up to 1.2 MiB, 3.15 with a collector armed the most, and a target whose group has less is killed.
_LEAST_GROUP_BYTES = 4 << 20
# The agent's start takes 20 ms; what comes at the limit is a SIGXCPU, and a SIGKILL.
_LEAST_CPU_S = 1.0


def memory_headroom(pid: int) -> int | None:
    """Return how many bytes a process may still take, None where nothing limits it.

    The least of what its address space (RLIMIT_AS) and its memory cgroup, with all that lie above it, leave.

    Raises:
        TargetGone: it has ended.
    """
    rooms = [*_address_space(pid), *_cgroups(pid)]
    return max(min(rooms), 0) if rooms else None


def require_headroom(pid: int) -> None:
    """Refuse a process that an attach could bring to the limit of its memory cgroup, or of its CPU time.

    Raises:
        NotSupported: it has too little left.
        TargetGone: it has ended.
    """
    room = min(_cgroups(pid), default=_LEAST_GROUP_BYTES)
    if room < _LEAST_GROUP_BYTES:
        raise NotSupported(
            f"process {pid} is within {_LEAST_GROUP_BYTES >> 20} MiB of the limit of its memory cgroup",
            remedy="raise the limit: memory.max of its cgroup, or the memory of its container",
            pid=pid,
        )
    seconds = process.limit(pid, "Max cpu time")
    if seconds is not None and seconds - process.cpu_seconds(pid) < _LEAST_CPU_S:
        raise NotSupported(
            f"process {pid} is within {_LEAST_CPU_S:.0f} s of its limit of {seconds} s of CPU time",
            remedy=f"raise its limit: prlimit --pid {pid} --cpu={seconds + 60}",
            pid=pid,
        )


def _address_space(pid: int) -> Iterator[int]:
    limit = process.limit(pid, "Max address space")
    if limit is not None:
        used_pages = int(process.read_file(f"/proc/{pid}/statm").split()[0])
        yield limit - used_pages * os.sysconf("SC_PAGE_SIZE")


def _cgroups(pid: int) -> Iterator[int]:
    """Yield what is left in each group; a hierarchy that we cannot see, of another namespace, limits nothing here."""
    for line in process.read_file(f"/proc/{pid}/cgroup").decode("utf-8", "surrogateescape").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            controller = _V2
        elif "memory" in controllers.split(","):
            controller = _V1
        else:
            continue
        names = [name for name in path.split("/") if name]
        for depth in range(len(names), -1, -1):
            group = "/".join([controller.folder, *names[:depth]])
            limit = _number(f"{group}/{controller.limit}")
            used = None if limit is None else _number(f"{group}/{controller.used}")
            if limit is not None and used is not None:
                yield limit - used + _cached(group, controller)


def _cached(group: str, controller: _Controller) -> int:
    """Return the bytes of cached files that nobody has used for long: they go where memory is needed."""
    try:
        rows = process.read_file(f"{group}/memory.stat").split(b"\n")
    except (OSError, ExecdError):
        return 0
    name = controller.cached.encode() + b" "
    return next((int(row[len(name) :]) for row in rows if row.startswith(name)), 0)


def _number(path: str) -> int | None:
    """Return the number in a file, None for "max", for what v1 says instead of it, and where there is no such file."""
    try:
        text = process.read_file(path).strip()
    except (OSError, ExecdError):
        return None
    return int(text) if text.isdigit() and int(text) < 1 << 60 else None
