"""Narrowing a profile: to threads, to file names without directories."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.model.profile import ROOT, Column

if TYPE_CHECKING:
    from collections.abc import Callable

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
        known = ", ".join(f"{label.thread_name!r} ({label.thread_id})" for label in threads(profile))
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
