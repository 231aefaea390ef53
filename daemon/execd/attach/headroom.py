"""How much more memory a process may take before a limit of its own stops it or its group is killed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from execd.attach import process
from execd.errors import ExecdError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class _Controller:
    """Where a version of cgroups has its memory files: the hierarchy's folder, limit and use."""

    folder: Path
    limit: str
    used: str


_V1 = _Controller(_CGROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes")
_V2 = _Controller(_CGROUPS, "memory.max", "memory.current")


def memory_headroom(pid: int) -> int | None:
    """Return how many bytes a process may still take, None where nothing limits it.

    The least of what its address space (RLIMIT_AS) and its memory cgroup, with all that lie above it, leave.

    Raises:
        TargetGone: it has ended.
    """
    rooms = [*_address_space(pid), *_cgroups(pid)]
    return max(min(rooms), 0) if rooms else None


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
        group = controller.folder / path.lstrip("/")
        while group.is_relative_to(controller.folder):
            limit = _number(group / controller.limit)
            used = None if limit is None else _number(group / controller.used)
            if limit is not None and used is not None:
                yield limit - used
            group = group.parent


def _number(path: Path) -> int | None:
    """Return the number in a file, None for "max", for what v1 says instead of it, and where there is no such file."""
    try:
        text = process.read_file(path).strip()
    except (OSError, ExecdError):
        return None
    return int(text) if text.isdigit() and int(text) < 1 << 60 else None
