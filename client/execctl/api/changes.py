"""Comparisons of two profiles, and what grew over several, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from execctl.api.calls import Figures, FunctionName, read_figures, read_name
from execctl.api.frame import Frame
from execctl.api.lines import CalledFunction, Relation, read_function, read_relation
from execctl.api.origin import Origin, read_origin

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one profile has over another.

    Attributes:
        later: where the one comes from.
        earlier: where the other one does.
        per_second: the figures are per second of each, for the spans differ.
    """

    later: Origin
    earlier: Origin
    per_second: bool


@dataclass(frozen=True, slots=True)
class FunctionChange:
    """A function, and its figures then and now; kind is "new", "gone", "more" or "less"."""

    kind: str
    name: FunctionName
    earlier: Figures
    later: Figures
    delta: Figures


@dataclass(frozen=True, slots=True)
class CallComparison(Comparison):
    """Of two profiles of calls; the changes that are new first, then gone, more, less."""

    changes: tuple[FunctionChange, ...]


@dataclass(frozen=True, slots=True)
class LineChange:
    """A line, how often it ran then and now, and its source where that is known; kind as in FunctionChange."""

    kind: str
    filename: str
    lineno: int
    source: str | None
    earlier: float
    later: float
    delta: float


@dataclass(frozen=True, slots=True)
class LineComparison(Comparison):
    """Of two profiles of lines."""

    changes: tuple[LineChange, ...]


@dataclass(frozen=True, slots=True)
class CalledComparison(Comparison):
    """Of two profiles of called functions: "new" or "gone", and which."""

    changes: tuple[tuple[str, CalledFunction], ...]


@dataclass(frozen=True, slots=True)
class CallersComparison(Comparison):
    """Of two profiles of who called whom: "new" or "gone", and which; it counts no calls."""

    changes: tuple[tuple[str, Relation], ...]


@dataclass(frozen=True, slots=True)
class PlaceChange:
    """A place or type in memory, and how much more it has; kind is "new", "grown", "same", "shrunk" or "freed".

    Attributes:
        traceback: the place, the oldest frame first; empty of a type.
        type: the type, "" of a place.
    """

    kind: str
    traceback: tuple[Frame, ...]
    type: str
    size_bytes: int
    size_diff_bytes: int
    count: int
    count_diff: int


@dataclass(frozen=True, slots=True)
class MemoryComparison(Comparison):
    """Of two profiles of memory, or two censuses; the largest change first."""

    changes: tuple[PlaceChange, ...]


@dataclass(frozen=True, slots=True)
class Grown:
    """A place or type that had more bytes in each snapshot than in the one before.

    Attributes:
        traceback: the place, the oldest frame first; empty of a type.
        type: the type, "" of a place.
        sizes_bytes: in each snapshot.
        counts: likewise.
        size_diff_bytes: of the last over the first.
        count_diff: likewise.
    """

    traceback: tuple[Frame, ...]
    type: str
    sizes_bytes: tuple[int, ...]
    counts: tuple[int, ...]
    size_diff_bytes: int
    count_diff: int


@dataclass(frozen=True, slots=True)
class Growth:
    """What grew.

    Attributes:
        profiles: where the snapshots come from, the oldest first.
        by: "filename", "lineno", "traceback", or "type" of a census.
        grown: how many things grew, whether they are here or over the limit.
        things: the largest gain first.
    """

    profiles: tuple[Origin, ...]
    by: str
    grown: int
    things: tuple[Grown, ...]


@dataclass(frozen=True, slots=True)
class SampledChange:
    """A function, line or file, and its share of the samples then and now, of 1.

    Attributes:
        kind: "new", "gone", "more" or "less".
        name: which.
        own_share: earlier, later.
        total_share: with what it called: earlier, later.
        own_error: the standard error of what the one share is over the other.
    """

    kind: str
    name: FunctionName
    own_share: tuple[float, float]
    total_share: tuple[float, float]
    own_error: float


@dataclass(frozen=True, slots=True)
class SamplesComparison(Comparison):
    """Of two profiles of samples.

    Attributes:
        view, by: as of SamplesProfile.
        totals: of all that was compared: earlier, later.
        changes: the largest change of an own share first.
    """

    view: str
    by: str
    totals: tuple[int, int]
    changes: tuple[SampledChange, ...]


def read_comparison(raw: Mapping[str, Any]) -> Comparison:
    """Return the comparison that a JSON report holds."""
    begun: dict[str, Any] = {
        "later": read_origin(raw["profile"]),
        "earlier": read_origin(raw["earlier"]),
        "per_second": raw.get("per_second", False),
    }
    match raw["report"]:
        case "functions_change":
            return CallComparison(**begun, changes=tuple(map(_function_change, raw["changes"])))
        case "lines_change":
            return LineComparison(**begun, changes=tuple(map(_line_change, raw["changes"])))
        case "called_change":
            return CalledComparison(**begun, changes=tuple((one["kind"], read_function(one)) for one in raw["changes"]))
        case "samples_change":
            return _samples_comparison(raw, begun)
        case "callers_change":
            return CallersComparison(
                **begun, changes=tuple((one["kind"], read_relation(one, 0)) for one in raw["changes"])
            )
    places = raw["types"] if raw["report"] == "census_change" else raw["statistics"]
    return MemoryComparison(**begun, changes=tuple(map(_place_change, places)))


def read_growth(raw: Mapping[str, Any]) -> Growth:
    """Return what grew, of a JSON report."""
    things = tuple(
        Grown(
            _traceback(one),
            one.get("type", ""),
            tuple(one["size"]),
            tuple(one["count"]),
            one["size_delta"],
            one["count_delta"],
        )
        for one in raw["growth"]
    )
    return Growth(tuple(map(read_origin, raw["profiles"])), raw["by"], raw["grown"], things)


def _samples_comparison(raw: Mapping[str, Any], begun: Mapping[str, Any]) -> SamplesComparison:
    totals = raw["totals"]["earlier"], raw["totals"]["later"]
    changes = tuple(map(_sampled_change, raw["changes"]))
    return SamplesComparison(**begun, view=raw["view"], by=raw["by"], totals=totals, changes=changes)


def _sampled_change(raw: Mapping[str, Any]) -> SampledChange:
    own, total = ((raw["earlier"][part], raw["later"][part]) for part in ("self_share", "total_share"))
    return SampledChange(raw["kind"], read_name(raw), own, total, raw["delta"]["self_error"])


def _function_change(raw: Mapping[str, Any]) -> FunctionChange:
    earlier, later, delta = (read_figures(raw[part]) for part in ("earlier", "later", "delta"))
    return FunctionChange(raw["kind"], read_name(raw), earlier, later, delta)


def _line_change(raw: Mapping[str, Any]) -> LineChange:
    return LineChange(raw["kind"], raw["file"], raw["line"], raw["text"], raw["earlier"], raw["later"], raw["delta"])


def _place_change(raw: Mapping[str, Any]) -> PlaceChange:
    return PlaceChange(
        raw["change"],
        _traceback(raw),
        raw.get("type", ""),
        raw["size"],
        raw["size_delta"],
        raw["count"],
        raw["count_delta"],
    )


def _traceback(raw: Mapping[str, Any]) -> tuple[Frame, ...]:
    return tuple(Frame(one["file"], one["line"]) for one in raw.get("frames", ()))
