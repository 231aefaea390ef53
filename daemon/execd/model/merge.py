"""Merging profiles: several runs, processes or sessions as one tree."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from execd.errors import UsageError
from execd.model.profile import ROOT, Column, Function, Header, Label, Location, Profile

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from execd.model.source import SourceFile

_Item = TypeVar("_Item", bound="Hashable")


@dataclass(frozen=True, slots=True)
class _Tables:
    """The tables under construction: each maps an item to its index; columns grow with the nodes."""

    functions: dict[Function, int] = field(default_factory=dict)
    locations: dict[Location, int] = field(default_factory=dict)
    labels: dict[Label, int] = field(default_factory=dict)
    nodes: dict[tuple[int, int, int], int] = field(default_factory=dict)
    columns: list[list[int]] = field(default_factory=list)
    files: dict[str, SourceFile] = field(default_factory=dict)


def merge(profiles: Sequence[Profile]) -> Profile:
    """Return one profile with the nodes of all; stacks that are equal and of one thread are added up.

    Args:
        profiles: at least one, of one collector.

    Raises:
        UsageError: none is given, or they are not of one collector.
    """
    if not profiles:
        raise UsageError("nothing to merge")
    shapes = {_shape(profile) for profile in profiles}
    if len(shapes) > 1:
        found = ", ".join(sorted({profile.header.collector for profile in profiles}))
        raise UsageError(f"profiles of different collectors cannot be merged: {found}", collectors=found)
    tables = _Tables(columns=[[] for _ in profiles[0].columns])
    for profile in profiles:
        _add(tables, profile)
    return _built(tables, _merged_header([profile.header for profile in profiles]), profiles[0])


def _shape(profile: Profile) -> tuple[object, ...]:
    return (profile.header.collector, *((column.name, column.unit) for column in profile.columns))


def _add(tables: _Tables, profile: Profile) -> None:
    functions = _indexes(tables.functions, profile.functions)
    moved = (Location(functions[one.function], one.line) for one in profile.locations)
    locations = _indexes(tables.locations, moved)
    labels = _indexes(tables.labels, profile.labels)
    places: list[int] = []
    for node, parent in enumerate(profile.parents):
        stack = (
            ROOT if parent == ROOT else places[parent],
            locations[profile.node_locations[node]],
            labels[profile.node_labels[node]],
        )
        places.append(tables.nodes.setdefault(stack, len(tables.nodes)))
    for file in profile.files:
        tables.files.setdefault(file.path, file)
    for sums, column in zip(tables.columns, profile.columns, strict=True):
        sums.extend([0] * (len(tables.nodes) - len(sums)))
        for place, value in zip(places, column.values, strict=True):
            sums[place] += value


def _indexes(table: dict[_Item, int], items: Iterable[_Item]) -> list[int]:
    return [table.setdefault(item, len(table)) for item in items]


def _built(tables: _Tables, header: Header, like: Profile) -> Profile:
    columns = zip(like.columns, tables.columns, strict=True)
    return Profile(
        header=header,
        functions=tuple(tables.functions),
        locations=tuple(tables.locations),
        labels=tuple(tables.labels),
        parents=array("i", (parent for parent, _, _ in tables.nodes)),
        node_locations=array("i", (location for _, location, _ in tables.nodes)),
        node_labels=array("i", (label for _, _, label in tables.nodes)),
        columns=tuple(Column(column.name, column.unit, array("q", sums)) for column, sums in columns),
        files=tuple(tables.files.values()),
    )


def _merged_header(headers: Sequence[Header]) -> Header:
    first = headers[0]
    lost: Counter[str] = Counter()
    for header in headers:
        lost.update(header.lost)
    return Header(
        collector=first.collector,
        form=_joined(header.form for header in headers),
        session=first.session if len({header.session for header in headers}) == 1 else "",
        pid=first.pid if len({header.pid for header in headers}) == 1 else 0,
        command_line=first.command_line if len({header.command_line for header in headers}) == 1 else (),
        python_version=_joined(header.python_version for header in headers),
        started_at=min(header.started_at for header in headers),
        ended_at=max(header.ended_at for header in headers),
        options=first.options if all(header.options == first.options for header in headers) else {},
        lost=dict(lost),
        caveats=tuple(dict.fromkeys(caveat for header in headers for caveat in header.caveats)),
    )


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(sorted(set(texts)))
