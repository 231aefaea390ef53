"""What a profile gained over an earlier one of the same recording."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import TYPE_CHECKING

from execd.model.collector import Since, collector_of
from execd.model.filter import pruned
from execd.model.merge import merge
from execd.model.profile import ROOT, Column, Function

if TYPE_CHECKING:
    from execd.model.profile import Label, Profile

_Path = tuple[int, Function, int, object]


def gained(profile: Profile, baseline: Profile | None) -> Profile:
    """Return what a profile has more than what was there before its session, None for nothing."""
    if baseline is None:
        return profile
    found = since(profile, baseline)
    return replace(found, header=replace(found.header, started_at=baseline.header.ended_at))


def since(later: Profile, earlier: Profile) -> Profile:
    """Return what happened between two profiles of one recording, by the way of their collector.

    Args:
        later: a snapshot.
        earlier: an earlier one of the same recording.

    Returns:
        a profile with the header of the later one.
    """
    match collector_of(later.header.collector).since:
        case Since.SUBTRACTED:
            return subtract(later, earlier)
        case Since.MARKED:
            latest = max(earlier.column("mark"), default=0)
            return pruned(later, [mark > latest for mark in later.column("mark")])
        case Since.WHOLE:
            return later


def subtract(later: Profile, earlier: Profile) -> Profile:
    """Return the later profile less the earlier one; nodes that gained nothing and lead nowhere are left out.

    Args:
        later: a snapshot.
        earlier: an earlier one of the same recording, so that each of its stacks is in the later one.

    Returns:
        a profile with the header of the later one, in which equal stacks of one thread are one.
    """
    earlier = merge([_with_labels_of(later, earlier)])
    later = replace(merge([later]), header=later.header)
    known = _paths(earlier)
    places = _match(later, known)
    columns = []
    for column in later.columns:
        before = earlier.column(column.name)
        gained = (
            max(value - (before[place] if place != ROOT else 0), 0)
            for value, place in zip(column.values, places, strict=True)
        )
        columns.append(Column(column.name, column.unit, array("q", gained)))
    kept = [any(column.values[node] for column in columns) for node in range(len(later.parents))]
    return pruned(replace(later, columns=tuple(columns)), kept)


def _with_labels_of(later: Profile, earlier: Profile) -> Profile:
    """Return the earlier profile with its stacks under the labels that the later one has them under.

    A thread may have got a name since, or may have ended and been merged into the label of ended threads, number 0.
    """
    by_thread = {(label.pid, label.thread_id): label for label in later.labels}
    present = set(later.labels)

    def moved(label: Label) -> Label:
        if label in present:
            return label
        same, ended = by_thread.get((label.pid, label.thread_id)), by_thread.get((label.pid, 0))
        return (ended or same or label) if label.thread_name else (same or ended or label)

    return replace(earlier, labels=tuple(moved(label) for label in earlier.labels))


def _paths(profile: Profile) -> dict[_Path, int]:
    """Return each node by its parent, function, line and label."""
    return {_path(profile, node, parent): node for node, parent in enumerate(profile.parents)}


def _path(profile: Profile, node: int, parent: int) -> _Path:
    location = profile.locations[profile.node_locations[node]]
    return parent, profile.functions[location.function], location.line, profile.labels[profile.node_labels[node]]


def _match(later: Profile, known: dict[_Path, int]) -> list[int]:
    places: list[int] = []
    for node, parent in enumerate(later.parents):
        above = ROOT if parent == ROOT else places[parent]
        is_new_branch = parent != ROOT and above == ROOT
        places.append(ROOT if is_new_branch else known.get(_path(later, node, above), ROOT))
    return places
