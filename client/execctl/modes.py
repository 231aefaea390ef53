"""What an attach can measure: each mode is a flag of `execctl attach` and one collector of the daemon."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode: its flag, the collector behind it, and what it is good for."""

    flag: str
    collector: str
    purpose: str


PROFILE = Mode("--profile", "calls", "count and time every call, as cProfile does")
MODES = (PROFILE,)


def mode_list() -> str:
    """Return the modes for people, one on a line."""
    return "\n".join(f"  {mode.flag}  {mode.purpose}" for mode in MODES)
