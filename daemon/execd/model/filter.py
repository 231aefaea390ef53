"""Narrowing a profile: to threads, to the stacks that lead somewhere, to file names without directories."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.model.profile import ROOT, Column

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from execd.model.profile import Label, Profile


def threads(profile: Profile) -> list[Label]:
    """Return the threads that have nodes, in the order in which they appear."""
    return [profile.labels[index] for index in dict.fromkeys(profile.node_labels)]


def by_thread(profile: Profile, thread: str) -> Profile:
    """Return the part of a profile that one thread ran, or all threads of one name.

    Args:
        profile: of any collector.
        thread: its name, or its identifier in digits.

    Raises:
        UsageError: no thread of that name or identifier is in the profile; the facts list those that are.
    """
    if not any(is_thread(label, thread) for label in profile.labels):
        # A thread has several labels where it was seen in several slices or processes.
        known = ", ".join(dict.fromkeys(f"{label.thread_name!r} ({label.thread_id})" for label in threads(profile)))
        raise UsageError(
            f"no thread {thread!r} in this profile",
            remedy=f"choose one of: {known or 'none was recorded'}",
            thread=ascii(thread),
        )
    return where(profile, lambda label: is_thread(label, thread))


def is_thread(label: Label, thread: str) -> bool:
    """Return whether a thread is called by this name, or has this identifier in digits."""
    return thread in (label.thread_name, str(label.thread_id))


def where(profile: Profile, wanted: Callable[[Label], bool]) -> Profile:
    """Return the nodes whose label is wanted; below a node left out they hang on the nearest that is kept."""
    keep = [wanted(label) for label in profile.labels]
    places: list[int] = []
    nodes: list[int] = []
    parents = array("i")
    for node, parent in enumerate(profile.parents):
        place = ROOT if parent == ROOT else places[parent]
        if keep[profile.node_labels[node]]:
            parents.append(place)
            place = len(nodes)
            nodes.append(node)
        places.append(place)
    return _picked(profile, nodes, parents)


def of_each_thread(profile: Profile) -> dict[Label, Profile]:
    """Return for each thread that has nodes what `where` returns for it, in the order in which they appear."""
    nodes: dict[int, list[int]] = {}
    parents: dict[int, array[int]] = {}
    places = array("i", bytes(4 * len(profile.parents)))
    for node, label in enumerate(profile.node_labels):
        own = nodes.setdefault(label, [])
        above = profile.parents[node]
        while above != ROOT and profile.node_labels[above] != label:
            above = profile.parents[above]
        parents.setdefault(label, array("i")).append(ROOT if above == ROOT else places[above])
        places[node] = len(own)
        own.append(node)
    return {profile.labels[label]: _picked(profile, own, parents[label]) for label, own in nodes.items()}


def pruned(profile: Profile, kept: Sequence[bool]) -> Profile:
    """Return the nodes that are kept and those that lead to them."""
    kept = list(kept)
    for node in range(len(kept) - 1, -1, -1):
        if kept[node] and profile.parents[node] != ROOT:
            kept[profile.parents[node]] = True
    nodes = [node for node, is_kept in enumerate(kept) if is_kept]
    places = {node: place for place, node in enumerate(nodes)} | {ROOT: ROOT}
    return _picked(profile, nodes, array("i", (places[profile.parents[node]] for node in nodes)))


def into_callers(profile: Profile, gone: Sequence[bool]) -> Profile:
    """Return the profile without some of its nodes: what these have is their callers'.

    Args:
        profile: of amounts.
        gone: whether a node is to go; one that has others below it, or none above it, stays.
    """
    callers = set(profile.parents)
    nodes = enumerate(zip(gone, profile.parents, strict=True))
    dropped = [is_gone and parent != ROOT and node not in callers for node, (is_gone, parent) in nodes]
    columns = []
    for column in profile.columns:
        values = column.values[:]
        for node, is_dropped in enumerate(dropped):
            if is_dropped:
                values[profile.parents[node]] += values[node]
        columns.append(Column(column.name, column.unit, values))
    return pruned(replace(profile, columns=tuple(columns)), [not one for one in dropped])


def strip_dirs(profile: Profile) -> Profile:
    """Return the profile with file names instead of paths; a fold then merges functions that became equal."""
    functions = (replace(function, file=function.file.rpartition("/")[2]) for function in profile.functions)
    return replace(profile, functions=tuple(functions))


def _picked(profile: Profile, nodes: list[int], parents: array[int]) -> Profile:
    def pick(values: array[int]) -> array[int]:
        return array(values.typecode, [values[node] for node in nodes])

    return replace(
        profile,
        parents=parents,
        node_locations=pick(profile.node_locations),
        node_labels=pick(profile.node_labels),
        columns=tuple(Column(one.name, one.unit, pick(one.values)) for one in profile.columns),
    )
