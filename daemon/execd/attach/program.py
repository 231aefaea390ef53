"""Which program a process runs: an exec keeps its PID, start time and pidfd, and nothing of what is in it."""

from __future__ import annotations

import os


class RunningProgram:
    """The program that a process runs at this instant.

    Its memory map is opened: what is read from it belongs to that program, and is nothing once it is no more
    (m_start in fs/proc/task_mmu.c). The map itself is not kept by that, only the kernel's few bytes about it.

    Args:
        pid: the process.
    """

    def __init__(self, pid: int) -> None:
        try:
            self._map = os.open(f"/proc/{pid}/maps", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._map = -1  # it has ended, or we may not look any more: nothing can be told

    @property
    def has_ended(self) -> bool:
        """Whether the process has executed another program since, or has ended. False where that cannot be told."""
        try:
            return self._map >= 0 and not os.pread(self._map, 1, 0)
        except OSError:
            return False

    def close(self) -> None:
        """Let go of it."""
        if self._map >= 0:
            os.close(self._map)
            self._map = -1
