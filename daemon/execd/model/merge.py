"""Merging profiles: several runs, processes or sessions as one tree."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from execd.errors import UsageError
from execd.model.bias import costs_of_sum, has_event_columns, with_event_columns
from execd.model.collector import CALLS, MEMORY, SAMPLES, TRACE
from execd.model.fold import is_summed
from execd.model.origins import merged_header, name_of
from execd.model.overhead import switched_off_in_sum
from execd.model.profile import ROOT, Column, Function, Label, Location, Profile
from execd.model.sampled import figures_of_sum
from execd.model.summed import summed
from execd.model.timeslices import slices_in_sum

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from execd.model.profile import Header
    from execd.model.source import SourceFile

_Item = TypeVar("_Item", bound="Hashable")
# Figures that are no amounts: when something was seen last, and how long a traceback was.
_LARGEST = frozenset({"mark", "frames"})


@dataclass(frozen=True, slots=True)
class _Tables:
    """The tables under construction: each maps an item to its index; columns grow with the nodes."""

    functions: dict[Function, int] = field(default_factory=dict)
    locations: dict[Location, int] = field(default_factory=dict)
    labels: dict[Label, int] = field(default_factory=dict)
    # Parent, location, label, and of memory the size of a block.
    nodes: dict[tuple[int, int, int, int], int] = field(default_factory=dict)
    columns: list[list[int]] = field(default_factory=list)


def merge(profiles: Sequence[Profile]) -> Profile:
    """Return one profile with the nodes of all; stacks that are equal and of one thread are added up.

    Calls that were summed already have no stacks: where one is such, all become so.

    Args:
        profiles: at least one, of one collector.

    Raises:
        UsageError: none is given, or they do not add up, or to more than a profile holds.
    """
    if not profiles:
        raise UsageError("nothing to merge")
    _check_collectors([profile.header for profile in profiles])
    try:
        return _merged(profiles)
    except OverflowError:
        raise UsageError(
            f"what {name_of(profiles[0].header)} and the others add up to is out of range",
            remedy="name fewer profiles, or report one after the other",
        ) from None


def _merged(profiles: Sequence[Profile]) -> Profile:
    if any(map(is_summed, profiles)):
        profiles = [summed(profile) for profile in profiles]
    if any(map(has_event_columns, profiles)):
        profiles = [with_event_columns(profile) for profile in profiles]
    _check_columns(profiles)
    tables = _Tables(columns=[[] for _ in profiles[0].columns])
    for profile in profiles:
        _add(tables, profile)
    header, files = merged_header([profile.header for profile in profiles]), profiles[0].files
    if len(profiles) > 1:
        files, caveats = _merged_files(profiles)
        extra = {**header.extra, **_own_extra(profiles)}
        header = replace(header, caveats=(*header.caveats, *caveats), extra=extra)
    return _built(tables, header, profiles[0], files)


def _own_extra(profiles: Sequence[Profile]) -> Mapping[str, object]:
    """Return what a collector's own figures add up to, in the header of a sum."""
    match profiles[0].header.collector:
        case CALLS.name:
            headers = [one.header for one in profiles]
            return {**costs_of_sum(profiles), **switched_off_in_sum(headers), **slices_in_sum(headers)}
        case SAMPLES.name:
            return figures_of_sum([profile.header for profile in profiles])
    return {}


def _check_collectors(headers: Sequence[Header]) -> None:
    first = headers[0]
    for other in headers[1:]:
        if other.collector != first.collector:
            raise UsageError(
                f"{name_of(first)} is of {first.collector}, {name_of(other)} of {other.collector}: they do not add up",
                remedy="name profiles of one collector",
                collectors=f"{first.collector}, {other.collector}",
            )
        if other.collector == TRACE.name:
            raise UsageError(
                f"{name_of(first)} and {name_of(other)} are traces, events in their order: they do not add up",
                remedy="report one after the other",
            )


def _check_columns(profiles: Sequence[Profile]) -> None:
    first = profiles[0]
    for other in profiles[1:]:
        if _shape(other) != _shape(first):
            has, other_has = (", ".join(name for name, _ in _shape(one)) for one in (first, other))
            raise UsageError(
                f"{name_of(first.header)} has {has}, {name_of(other.header)} has {other_has}: they do not add up",
                remedy="name profiles that have the same figures",
            )


def _shape(profile: Profile) -> list[tuple[str, str]]:
    return [(column.name, column.unit) for column in profile.columns]


def _add(tables: _Tables, profile: Profile) -> None:
    functions = _indexes(tables.functions, profile.functions)
    moved = (Location(functions[one.function], one.line) for one in profile.locations)
    locations = _indexes(tables.locations, moved)
    labels = _indexes(tables.labels, profile.labels)
    sizes = _sizes(profile)
    places: list[int] = []
    for node, parent in enumerate(profile.parents):
        stack = (
            ROOT if parent == ROOT else places[parent],
            locations[profile.node_locations[node]],
            labels[profile.node_labels[node]],
            sizes[node],
        )
        places.append(tables.nodes.setdefault(stack, len(tables.nodes)))
    for sums, column in zip(tables.columns, profile.columns, strict=True):
        sums.extend([0] * (len(tables.nodes) - len(sums)))
        is_amount = column.name not in _LARGEST
        for place, value in zip(places, column.values, strict=True):
            sums[place] = sums[place] + value if is_amount else max(sums[place], value)


def _sizes(profile: Profile) -> Sequence[int]:
    """Return what tells nodes of one stack apart: of memory the size of a block, for a node is of one size."""
    if profile.header.collector != MEMORY.name:
        return bytes(len(profile.parents))
    sizes = zip(profile.column("bytes"), profile.column("blocks"), strict=True)
    return [size // blocks if blocks else 0 for size, blocks in sizes]


def _indexes(table: dict[_Item, int], items: Iterable[_Item]) -> list[int]:
    return [table.setdefault(item, len(table)) for item in items]


def _built(tables: _Tables, header: Header, like: Profile, files: tuple[SourceFile, ...]) -> Profile:
    columns = zip(like.columns, tables.columns, strict=True)
    return Profile(
        header=header,
        functions=tuple(tables.functions),
        locations=tuple(tables.locations),
        labels=tuple(tables.labels),
        parents=array("i", (parent for parent, _, _, _ in tables.nodes)),
        node_locations=array("i", (location for _, location, _, _ in tables.nodes)),
        node_labels=array("i", (label for _, _, label, _ in tables.nodes)),
        columns=tuple(Column(column.name, column.unit, array("q", sums)) for column, sums in columns),
        files=files,
    )


def _merged_files(profiles: Sequence[Profile]) -> tuple[tuple[SourceFile, ...], list[str]]:
    """Return the sources, the first text that is known of each, and a caveat for each path that has several."""
    files: dict[str, SourceFile] = {}
    caveats: dict[str, None] = {}
    for profile in profiles:
        for file in profile.files:
            known = files.setdefault(file.path, file)
            if known.digest == file.digest and known.lines != file.lines:
                files[file.path] = replace(known, lines=tuple(sorted({*known.lines, *file.lines})))
            elif not known.digest:
                files[file.path] = file
            elif file.digest != known.digest and file.digest:
                told = f"{file.path} was not the same text everywhere: shown is the first, with the hits of all"
                caveats.setdefault(told)
    return tuple(files.values()), list(caveats)
