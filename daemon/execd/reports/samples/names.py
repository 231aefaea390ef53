"""How functions and measures are called in reports of samples; other tools name fewer things than CPython does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from execd.reports.names import standard_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execd.model.fold import FunctionKey

# Of each column: what it is called, and how many make one of what is shown.
SHOWN: Final[Mapping[str, tuple[str, int]]] = {
    "samples": ("samples", 1),
    "wall_ns": ("seconds", 1_000_000_000),
    "cpu_ns": ("seconds of the processor", 1_000_000_000),
}


def sample_name(function: FunctionKey) -> str:
    """Return what a function is called: as much of `file:line(name)` as is known."""
    file, line, name = function
    if not file:
        return name
    return standard_name(function) if line else f"{file}({name})"
