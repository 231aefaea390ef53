"""SourceFile: what a profile knows of a file that its functions are of; the text itself lies in the store."""

from __future__ import annotations

from dataclasses import dataclass

UNREAD = "was not read before the profile was stored"
UNCOMPILED = "was not compiled before the profile was stored"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a target's program.

    Attributes:
        path: co_filename, as the profile's functions have it.
        digest: SHA-256 of its bytes as they were when it was first seen to run, 64 hexadecimal digits; "" where it
            could not be read.
        lines: the lines that can run, by the line tables of the target's own interpreter, ascending; those of
            docstrings left out, as `trace` does (Lib/trace.py, _find_executable_linenos).
        problem: why there is no text, or why it may not be that of the code that ran; else "".
    """

    path: str
    digest: str
    lines: tuple[int, ...]
    problem: str = ""

    @property
    def was_late(self) -> bool:
        """Whether it was not there in time, and may be in a profile that is taken later."""
        return self.problem in (UNREAD, UNCOMPILED)
