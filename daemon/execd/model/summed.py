"""Calls that are summed already: what files of pstats hold, and what a call tree becomes beside one; see SUMMED."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from execd.model.collector import SUMMED
from execd.model.fold import by_function, is_summed
from execd.model.profile import ROOT, Column, Function, Label, Location, Profile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execd.model.fold import Figures, FunctionKey, FunctionRow
    from execd.model.profile import Header


def summed(profile: Profile) -> Profile:
    """Return a profile of calls without its stacks and threads: each function, and below it those that called it.

    Raises:
        UsageError: it is of another collector.
    """
    return profile if is_summed(profile) else of_rows(by_function(profile), profile.header)


def of_rows(rows: Mapping[FunctionKey, FunctionRow], header: Header) -> Profile:
    """Return the profile that holds the rows of a fold, in their order.

    Args:
        rows: the functions.
        header: where they come from.
    """
    nodes: list[tuple[int, FunctionKey, Figures]] = []
    for function, row in rows.items():
        root = len(nodes)
        nodes.append((ROOT, function, row.figures))
        nodes += [(root, caller, part) for caller, part in row.callers.items()]
    functions = {key: index for index, key in enumerate(dict.fromkeys(key for _, key, _ in nodes))}
    values = [[getattr(figures, name) for _, _, figures in nodes] for name, _ in SUMMED]
    return Profile(
        header=header,
        functions=tuple(Function(name, name, file, line) for file, line, name in functions),
        locations=tuple(Location(index, 0) for index in functions.values()),
        labels=(Label(0, "", 0),),
        parents=array("i", [parent for parent, _, _ in nodes]),
        node_locations=array("i", [functions[key] for _, key, _ in nodes]),
        node_labels=array("i", bytes(4 * len(nodes))),
        columns=tuple(Column(*column, array("q", one)) for column, one in zip(SUMMED, values, strict=True)),
    )
