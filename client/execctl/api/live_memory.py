"""The memory of a process that is being traced, as it is now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execctl.api.frame import Frame


@dataclass(frozen=True, slots=True)
class LiveObject:
    """An object that lives.

    Attributes:
        type: "module.Name".
        size_bytes: of it alone.
        is_traced: its allocation was traced.
        traceback: where it was allocated, the oldest frame first.
    """

    type: str
    size_bytes: int
    is_traced: bool
    traceback: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class LiveMemory:
    """What a running memory session answers.

    Attributes:
        pid: of the process.
        session: that traces it, "s12".
        figures: by name, bytes where the name ends so: traced_bytes, peak_bytes, tracemalloc_bytes, traceback_limit,
            joined (1: the program traces itself), rss_bytes, pss_bytes, swap_bytes, and the garbage collector's.
        count: of `where`: how many live objects of the type there are.
        size_bytes: of them all.
        objects: the largest of them.
    """

    pid: int
    session: str
    figures: Mapping[str, int]
    count: int
    size_bytes: int
    objects: tuple[LiveObject, ...]

    @property
    def traced_bytes(self) -> int:
        """What is traced now: the first of `tracemalloc.get_traced_memory()`."""
        return self.figures.get("traced_bytes", 0)

    @property
    def peak_bytes(self) -> int:
        """What was traced at the peak: the second of `tracemalloc.get_traced_memory()`."""
        return self.figures.get("peak_bytes", 0)

    @property
    def tracemalloc_bytes(self) -> int:
        """What the tables of tracemalloc take: `tracemalloc.get_tracemalloc_memory()`."""
        return self.figures.get("tracemalloc_bytes", 0)

    @property
    def traceback_limit(self) -> int:
        """How many frames a traceback has at most: `tracemalloc.get_traceback_limit()`."""
        return self.figures.get("traceback_limit", 0)
