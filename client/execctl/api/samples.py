"""Profiles of samples, which files of samplers are imported as."""

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
    """What was imported from a sampler's file.

    Attributes:
        measures: in which there is something: "samples", "wall_ns", "cpu_ns".
        totals: the sum of each.
        functions: the most of the first measure first.
    """

    measures: tuple[str, ...]
    totals: Mapping[str, int]
    functions: tuple[SampledFunction, ...]


def read_samples(raw: Mapping[str, Any], begun: Mapping[str, Any]) -> SamplesProfile:
    """Return the profile that a JSON report of samples holds."""
    functions = tuple(SampledFunction(read_name(one), one["self"], one["total"]) for one in raw["functions"])
    return SamplesProfile(**begun, measures=tuple(raw["measures"]), totals=raw["totals"], functions=functions)
