"""Profiles of samples: what was sampled, and what files of other samplers are imported as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from execctl.api.calls import FunctionName, read_name
from execctl.api.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class SampledFunction:
    """A function that samples fell into.

    Attributes:
        name: which; filename "" and lineno 0 where they are not known.
        own: in it alone, by measure.
        total: in it and what it called, by measure.
    """

    name: FunctionName
    own: Mapping[str, int]
    total: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SamplesProfile(Profile):
    """What samples have met.

    Attributes:
        view: which of them are counted: "wall" all, "cpu" those of threads that ran, "gil" of those that held the GIL;
            "" of imported samples, which do not tell what their threads were at.
        by: what has the figures, "function", "line" or "file".
        measures: in which there is something: "samples", "wall_ns", "cpu_ns", and each state.
        totals: the sum of each.
        states: of all samples, whatever the view: how many there are of "running_with_gil", "running_without",
            "waiting_with_gil", "waiting_for_gil" and "waiting"; empty where they do not tell.
        waits: of all samples: how many were in which system call.
        functions: the most of the first measure first.
    """

    view: str
    by: str
    measures: tuple[str, ...]
    totals: Mapping[str, int]
    states: Mapping[str, int]
    waits: Mapping[str, int]
    functions: tuple[SampledFunction, ...]


def read_samples(raw: Mapping[str, Any], begun: Mapping[str, Any]) -> SamplesProfile:
    """Return the profile that a JSON report of samples holds."""
    functions = tuple(SampledFunction(read_name(one), one["self"], one["total"]) for one in raw["functions"])
    told = {name: raw[name] for name in ("view", "by", "totals", "states", "waits")}
    return SamplesProfile(**begun, **told, measures=tuple(raw["measures"]), functions=functions)
