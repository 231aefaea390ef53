"""Profiles of calls: what cProfile and pstats tell, as values."""

from __future__ import annotations

import pstats
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from execctl.api.profile import Profile
from execctl.errors import UsageError
from execctl.escape import escape

if TYPE_CHECKING:
    from collections.abc import Mapping

_NS_A_SECOND = 1e9


@dataclass(frozen=True, slots=True, order=True)
class FunctionName:
    """Which function.

    Attributes:
        filename: "~" for one written in C.
        lineno: the line of its definition; 0 for one written in C.
        name: of it alone; "<built-in method time.sleep>" for one written in C.
    """

    filename: str
    lineno: int
    name: str

    def __str__(self) -> str:
        if (self.filename, self.lineno) != ("~", 0):
            return f"{self.filename}:{self.lineno}({self.name})"
        return f"{{{self.name[1:-1]}}}" if self.name.startswith("<") and self.name.endswith(">") else self.name


@dataclass(frozen=True, slots=True)
class Figures:
    """What was counted and timed; of a comparison per second where it says so.

    Attributes:
        calls: that began in the span.
        primitive_calls: those of them that were not recursive.
        open: how often it already ran at the start, which carries no call; 0 of a change.
        self_s: in it alone, waiting included, seconds.
        total_s: in it and all that it called, once for the outermost call, seconds.
    """

    calls: float
    primitive_calls: float
    open: float
    self_s: float
    total_s: float


@dataclass(frozen=True, slots=True)
class Function:
    """A function, and who called whom.

    Attributes:
        name: which.
        calls: that began in the span.
        primitive_calls: those of them that were not recursive.
        open: how often it already ran at the start, which carries no call.
        self_s: in it alone, waiting included, seconds.
        total_s: in it and all that it called, once for the outermost call, seconds.
        callers: its figures under each that called it.
        callees: theirs under it, of each that it called.
    """

    name: FunctionName
    calls: int
    primitive_calls: int
    open: int
    self_s: float
    total_s: float
    callers: Mapping[FunctionName, Figures]
    callees: Mapping[FunctionName, Figures]


@dataclass(frozen=True, slots=True)
class CallProfile(Profile):
    """What `profile=True` records: the calls of all threads, or of the one that was asked for.

    Attributes:
        functions: the most total time first.
        totals: over all functions; total_s is the sum of the self times.
    """

    functions: tuple[Function, ...]
    totals: Figures

    def named(self, name: str) -> tuple[Function, ...]:
        """Return the functions of a name, "handle", wherever they are defined."""
        return tuple(one for one in self.functions if one.name.name == name)

    def to_pstats(self) -> pstats.Stats:
        """Return the statistics of the standard library, with these figures; its methods change it, and not this.

        Raises:
            UsageError: nothing was recorded; pstats takes no empty profile.
        """
        if not self.functions:
            raise UsageError("nothing was recorded, and pstats takes no empty profile")
        created = _Created({_key(one.name): _row(one) for one in self.functions})
        return pstats.Stats(created)  # type: ignore[arg-type]  # it takes whatever has these two


class _Created:
    """What pstats takes for a profiler."""

    def __init__(self, stats: Mapping[tuple[str, int, str], tuple[Any, ...]]) -> None:
        self.stats = stats

    def create_stats(self) -> None:
        """Do nothing: they are there."""


def read_calls(raw: Mapping[str, Any], begun: Mapping[str, Any]) -> CallProfile:
    """Return the profile that a JSON report of functions with their callers holds.

    Args:
        raw: the report.
        begun: the fields that all profiles have.
    """
    callees: defaultdict[FunctionName, dict[FunctionName, Figures]] = defaultdict(dict)
    for one in raw["functions"]:
        for caller in one["callers"]:
            callees[read_name(caller)][read_name(one)] = read_figures(caller)
    functions = tuple(_function(one, callees.get(read_name(one), {})) for one in raw["functions"])
    return CallProfile(**begun, functions=functions, totals=read_figures(raw["totals"]))


def read_name(raw: Mapping[str, Any]) -> FunctionName:
    """Return the function that a JSON object names."""
    return FunctionName(raw["file"], raw["line"], raw["name"])


def read_figures(raw: Mapping[str, Any]) -> Figures:
    """Return the figures of a JSON object."""
    return Figures(
        raw["calls"],
        raw["primitive_calls"],
        raw.get("open", 0),
        raw["self_ns"] / _NS_A_SECOND,
        raw["total_ns"] / _NS_A_SECOND,
    )


def _function(raw: Mapping[str, Any], callees: Mapping[FunctionName, Figures]) -> Function:
    return Function(
        name=read_name(raw),
        calls=raw["calls"],
        primitive_calls=raw["primitive_calls"],
        open=raw["open"],
        self_s=raw["self_ns"] / _NS_A_SECOND,
        total_s=raw["total_ns"] / _NS_A_SECOND,
        callers={read_name(one): read_figures(one) for one in raw["callers"]},
        callees=callees,
    )


def _key(name: FunctionName) -> tuple[str, int, str]:
    # pstats prints them as they are.
    return escape(name.filename), name.lineno, escape(name.name)


def _row(one: Function) -> tuple[Any, ...]:
    # Of a caller calls come before primitive calls: the other way round than in a function's own tuple.
    callers = {
        _key(name): (part.calls, part.primitive_calls, part.self_s, part.total_s) for name, part in one.callers.items()
    }
    return one.primitive_calls, one.calls, one.self_s, one.total_s, callers
