"""What a call tree gained over an earlier one of the same recording, node by node."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import TYPE_CHECKING

from execd.model.merge import merge
from execd.model.profile import ROOT, Column, Profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.model.profile import Label


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
        columns.append(array("q", gained))
    return _pruned(later, columns)


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


def _paths(profile: Profile) -> dict[tuple[int, object, object], int]:
    """Return each node by (its parent, its function, its label)."""
    return {
        (parent, profile.functions[profile.function_of(node)], profile.labels[profile.node_labels[node]]): node
        for node, parent in enumerate(profile.parents)
    }


def _match(later: Profile, known: dict[tuple[int, object, object], int]) -> list[int]:
    places: list[int] = []
    for node, parent in enumerate(later.parents):
        above = ROOT if parent == ROOT else places[parent]
        is_new_branch = parent != ROOT and above == ROOT
        key = (above, later.functions[later.function_of(node)], later.labels[later.node_labels[node]])
        places.append(ROOT if is_new_branch else known.get(key, ROOT))
    return places


def _pruned(profile: Profile, columns: Sequence[array[int]]) -> Profile:
    count = len(profile.parents)
    kept = [any(values[node] for values in columns) for node in range(count)]
    for node in range(count - 1, -1, -1):
        if kept[node] and profile.parents[node] != ROOT:
            kept[profile.parents[node]] = True
    nodes = [node for node in range(count) if kept[node]]
    renumbered = {node: index for index, node in enumerate(nodes)} | {ROOT: ROOT}
    return replace(
        profile,
        parents=array("i", (renumbered[profile.parents[node]] for node in nodes)),
        node_locations=array("i", (profile.node_locations[node] for node in nodes)),
        node_labels=array("i", (profile.node_labels[node] for node in nodes)),
        columns=tuple(
            Column(column.name, column.unit, array("q", (values[node] for node in nodes)))
            for column, values in zip(profile.columns, columns, strict=True)
        ),
    )
