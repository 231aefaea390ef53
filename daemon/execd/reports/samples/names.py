"""How functions and clocks are called in reports of samples; other tools name fewer things than CPython does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from execd.reports.names import standard_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execd.model.fold import FunctionKey

# Of each column that is a time: of what clock.
CLOCKS: Final[Mapping[str, str]] = {"wall_ns": "wall", "cpu_ns": "CPU"}


def sample_name(function: FunctionKey) -> str:
    """Return what a function is called: as much of `file:line(name)` as is known."""
    file, line, name = function
    if not file:
        return name
    return standard_name(function) if line else f"{file}({name})"
