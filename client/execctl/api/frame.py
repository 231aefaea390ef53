"""A line of a file, as tracebacks have it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Frame:
    """A line of a file.

    Attributes:
        filename: as the process names it; "<unknown>" where it is not known.
        lineno: from 1; 0 where it is not known, and of statistics by file.
    """

    filename: str
    lineno: int

    def __str__(self) -> str:
        return f"{self.filename}:{self.lineno}"
