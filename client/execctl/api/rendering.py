"""A rendering: a report or an export, as the daemon made it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rendering:
    """What the daemon rendered.

    Attributes:
        data: the bytes.
        profile: what they are of, "p34".
        notes: what to know about it.
        files: name and content of each, where it is several.
        added: the profiles that were added to the first.
    """

    data: bytes
    profile: str
    notes: tuple[str, ...]
    files: tuple[tuple[str, bytes], ...] = ()
    added: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The bytes as text; what is no UTF-8 is written by its hexadecimal number."""
        return self.data.decode("utf-8", "backslashreplace")
