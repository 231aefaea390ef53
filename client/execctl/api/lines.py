"""Profiles of lines, of functions that were called, and of who called whom: what trace tells, as values."""

from __future__ import annotations

import trace
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from execctl.api.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that was recorded.

    Attributes:
        path: as the process names it.
        module: that it is, "package.module".
        digest: SHA-256 of its source; "" where that was not stored.
        problem: why its source is not known, or "".
        lines: how many of its lines can run.
        hit: how many of them ran.
        hits: how often each line ran that did, by its number.
        missed: the lines that can run and did not.
    """

    path: str
    module: str
    digest: str
    problem: str
    lines: int
    hit: int
    hits: Mapping[int, int]
    missed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LineProfile(Profile):
    """What `count=True` and `cover=True` record.

    Attributes:
        files: by path.
        lines: how many of their lines can run.
        hit: how many of them ran.
        hits: how often, in all.
    """

    files: tuple[SourceFile, ...]
    lines: int
    hit: int
    hits: int

    @property
    def counts(self) -> dict[tuple[str, int], int]:
        """How often each line ran, by path and number: the `counts` of `trace.CoverageResults`."""
        return {(file.path, line): count for file in self.files for line, count in file.hits.items()}

    def to_trace(self) -> trace.CoverageResults:
        """Return the results of the standard library, with these counts."""
        return trace.CoverageResults(counts=self.counts)


@dataclass(frozen=True, slots=True, order=True)
class CalledFunction:
    """A function that was called, as trace names it.

    Attributes:
        filename: as the process names it.
        module: that it is in.
        name: its own, after that of its class where there is one: "Cart.add".
    """

    filename: str
    module: str
    name: str


@dataclass(frozen=True, slots=True)
class FunctionsProfile(Profile):
    """What `listfuncs=True` records.

    Attributes:
        functions: those that were called, in the order of trace.
    """

    functions: tuple[CalledFunction, ...]

    def to_trace(self) -> trace.CoverageResults:
        """Return the results of the standard library, with these functions."""
        return trace.CoverageResults(calledfuncs={_names(one): 1 for one in self.functions})


@dataclass(frozen=True, slots=True)
class Relation:
    """Who called whom, and how often."""

    caller: CalledFunction
    callee: CalledFunction
    calls: int


@dataclass(frozen=True, slots=True)
class CallersProfile(Profile):
    """What `trackcalls=True` records.

    Attributes:
        relations: in the order of trace.
    """

    relations: tuple[Relation, ...]

    def to_trace(self) -> trace.CoverageResults:
        """Return the results of the standard library, with these relations."""
        callers = {(_names(one.caller), _names(one.callee)): 1 for one in self.relations}
        return trace.CoverageResults(callers=callers)


def read_lines(raw: Mapping[str, Any], begun: Mapping[str, Any]) -> LineProfile:
    """Return the profile that a JSON report of lines holds."""
    totals = raw["totals"]
    files = tuple(map(_file, raw["files"]))
    return LineProfile(**begun, files=files, lines=totals["lines"], hit=totals["hit"], hits=totals["hits"])


def read_called(raw: Mapping[str, Any], begun: Mapping[str, Any]) -> FunctionsProfile:
    """Return the profile that a JSON report of called functions holds."""
    return FunctionsProfile(**begun, functions=tuple(map(read_function, raw["functions"])))


def read_callers(raw: Mapping[str, Any], begun: Mapping[str, Any]) -> CallersProfile:
    """Return the profile that a JSON report of callers holds."""
    return CallersProfile(**begun, relations=tuple(read_relation(one, one["calls"]) for one in raw["calls"]))


def read_function(raw: Mapping[str, Any]) -> CalledFunction:
    """Return the function that a JSON object names."""
    return CalledFunction(raw["file"], raw["module"], raw["name"])


def read_relation(raw: Mapping[str, Any], calls: int) -> Relation:
    """Return who called whom, of a JSON object."""
    return Relation(read_function(raw["caller"]), read_function(raw["callee"]), calls)


def _file(raw: Mapping[str, Any]) -> SourceFile:
    return SourceFile(
        path=raw["path"],
        module=raw["module"],
        digest=raw["digest"],
        problem=raw["problem"],
        lines=raw["lines"],
        hit=raw["hit"],
        hits=dict(raw["hits"]),
        missed=tuple(raw["missed"]),
    )


def _names(function: CalledFunction) -> tuple[str, str | None, str]:
    return function.filename, function.module, function.name
