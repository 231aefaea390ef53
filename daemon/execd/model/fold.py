"""Folds of a call tree: what pstats calls statistics, settled for recursion.

A fold knows functions by what pstats knows them by: file, first line, name. Its figures are those that
cProfile has for the same calls: Modules/_lsprof.c counts the total time of a function, and that of each pair
of caller and callee, once for the outermost activation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from execd.errors import ProfileCorrupt, UsageError
from execd.model.collector import SUMMED
from execd.model.profile import ROOT
from execd.model.tree import outermost, preorder, subtree_sums

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Mapping, Sequence

    from execd.model.profile import Profile

# File, first line, name: the identity of a function in pstats.
FunctionKey: TypeAlias = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Figures:
    """What is counted for a function, or for a function when called by one other.

    Attributes:
        calls: calls that began while recording.
        primitive_calls: those of them that were not recursive.
        open: activations that already ran when recording began; they carry no call.
        self_ns: time in the function itself, ns.
        total_ns: time in it and in all that it called, counted once for the outermost activation, ns.
    """

    calls: int
    primitive_calls: int
    open: int
    self_ns: int
    total_ns: int

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.calls + other.calls,
            self.primitive_calls + other.primitive_calls,
            self.open + other.open,
            self.self_ns + other.self_ns,
            self.total_ns + other.total_ns,
        )


NOTHING = Figures(0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class FunctionRow:
    """A function's figures, and its part of them for each function that called it."""

    figures: Figures
    callers: Mapping[FunctionKey, Figures]


@dataclass(frozen=True, slots=True)
class CallColumns:
    """The columns of a call tree, a value a node."""

    calls: array[int]
    self_ns: array[int]
    open: array[int]


@dataclass(frozen=True, slots=True)
class _Nodes:
    """A call tree ready to be summed: total time a node, ns, and the walk that `preorder` yields."""

    columns: CallColumns
    total_ns: Sequence[int]
    walk: Sequence[tuple[int, int]]


def call_columns(profile: Profile) -> CallColumns:
    """Return the columns of a call tree.

    Raises:
        UsageError: the profile is another collector's, or was imported and is no tree.
        ProfileCorrupt: it says that it is a call tree, and lacks a column.
    """
    collector = profile.header.collector
    if collector != "calls":
        raise UsageError(
            f"a profile of the collector {collector!r} has no calls to report",
            remedy="choose a profile of the collector calls",
            collector=collector,
        )
    if is_summed(profile):
        raise UsageError(
            "a profile that was imported from a file of pstats has no stacks, only functions and their callers",
            remedy="choose the format text, json or pstats",
        )
    try:
        return CallColumns(*(profile.column(name) for name in ("calls", "self_ns", "open")))
    except KeyError as error:
        raise ProfileCorrupt(f"a profile of calls without the column {error}") from None


def is_summed(profile: Profile) -> bool:
    """Return whether a profile of calls is no tree, but what others summed; see SUMMED."""
    return profile.header.collector == "calls" and any(column.name == "total_ns" for column in profile.columns)


def by_function(profile: Profile, *, with_callers: bool = True) -> dict[FunctionKey, FunctionRow]:
    """Fold a call tree into a row a function.

    Args:
        profile: of the collector calls.
        with_callers: whether the rows have callers; without them the fold takes half the time. A profile that was
            recorded without subcalls has none, as with cProfile's subcalls=False.

    Raises:
        UsageError: the profile is another collector's.
    """
    if is_summed(profile):
        return _summed(profile)
    nodes = _nodes(profile)
    keys, groups = function_groups(profile)
    figures = _sums(nodes, groups)
    callers: dict[int, dict[FunctionKey, Figures]] = {group: {} for group in figures}
    if with_callers and profile.header.options.get("subcalls", True):
        edges, edge_of = edge_groups(profile.parents, groups)
        for edge, part in _sums(nodes, edge_of).items():
            caller, callee = edges[edge]
            if caller != ROOT:
                callers[callee][keys[caller]] = part
    return {keys[group]: FunctionRow(sums, callers[group]) for group, sums in figures.items()}


def function_groups(profile: Profile) -> tuple[list[FunctionKey], list[int]]:
    """Return the functions that differ for a fold, and for each node the index of its function among them."""
    ids: dict[FunctionKey, int] = {}
    of_function = [
        ids.setdefault((function.file, function.first_line, function.name), len(ids)) for function in profile.functions
    ]
    of_location = [of_function[location.function] for location in profile.locations]
    return list(ids), [of_location[location] for location in profile.node_locations]


def edge_groups(parents: Sequence[int], groups: Sequence[int]) -> tuple[list[tuple[int, int]], list[int]]:
    """Return the pairs of caller and callee that there are, ROOT for none, and for each node the index of its pair.

    Args:
        parents: a node's parent.
        groups: the function of each node.
    """
    ids: dict[tuple[int, int], int] = {}
    of_node = [
        ids.setdefault((ROOT if parent == ROOT else groups[parent], groups[node]), len(ids))
        for node, parent in enumerate(parents)
    ]
    return list(ids), of_node


def renamed(
    rows: Mapping[FunctionKey, FunctionRow], rename: Callable[[FunctionKey], FunctionKey]
) -> dict[FunctionKey, FunctionRow]:
    """Return the rows under other names; what becomes equal is added up, as pstats does."""
    # A caller may be no function of its own, in a file that was imported.
    keys = set(rows).union(*(row.callers for row in rows.values()))
    names = {key: rename(key) for key in keys}
    if all(key == name for key, name in names.items()):
        return dict(rows)
    result: dict[FunctionKey, FunctionRow] = {}
    for key, row in rows.items():
        merged = result.get(names[key])
        callers = dict(merged.callers) if merged else {}
        for caller, part in row.callers.items():
            # pstats keeps only the last of several callers that become equal; that loses calls.
            known = callers.get(names[caller])
            callers[names[caller]] = known + part if known else part
        figures = merged.figures + row.figures if merged else row.figures
        result[names[key]] = FunctionRow(figures, callers)
    return result


def strip_dirs(rows: Mapping[FunctionKey, FunctionRow]) -> dict[FunctionKey, FunctionRow]:
    """Return the rows with file names instead of paths; functions that become equal are added up."""
    return renamed(rows, lambda key: (key[0].rpartition("/")[2], key[1], key[2]))


def callees(rows: Mapping[FunctionKey, FunctionRow]) -> dict[FunctionKey, dict[FunctionKey, Figures]]:
    """Return for each function what it called, with the callee's figures under this caller."""
    result: dict[FunctionKey, dict[FunctionKey, Figures]] = {key: {} for key in rows}
    for key, row in rows.items():
        for caller, part in row.callers.items():
            result.setdefault(caller, {})[key] = part
    return result


def totals(rows: Mapping[FunctionKey, FunctionRow]) -> Figures:
    """Return the sums over all functions; total_ns is the time in all of them, each counted once."""
    figures = [row.figures for row in rows.values()]
    self_ns = sum(one.self_ns for one in figures)
    return Figures(
        sum(one.calls for one in figures),
        sum(one.primitive_calls for one in figures),
        sum(one.open for one in figures),
        self_ns,
        self_ns,
    )


def _summed(profile: Profile) -> dict[FunctionKey, FunctionRow]:
    keys, groups = function_groups(profile)
    columns = zip(*(profile.column(name) for name, _ in SUMMED), strict=True)
    rows: dict[FunctionKey, FunctionRow] = {}
    # By node: in a merged profile the callers of a function need not follow it at once.
    callers: dict[int, dict[FunctionKey, Figures]] = {}
    for node, (calls, primitive_calls, self_ns, total_ns) in enumerate(columns):
        key, parent = keys[groups[node]], profile.parents[node]
        figures = Figures(calls, primitive_calls, 0, self_ns, total_ns)
        if parent == ROOT:
            callers[node] = {}
            rows[key] = FunctionRow(figures, callers[node])
        elif parent in callers:
            callers[parent][key] = figures
        else:
            raise ProfileCorrupt("the caller of a function has a caller of its own, where calls were summed")
    return rows


def _nodes(profile: Profile) -> _Nodes:
    columns = call_columns(profile)
    total_ns = subtree_sums(profile.parents, columns.self_ns)
    return _Nodes(columns, total_ns, list(preorder(profile.parents)))


def _sums(nodes: _Nodes, groups: Sequence[int]) -> dict[int, Figures]:
    columns = nodes.columns
    size = max(groups, default=-1) + 1
    calls, primitive_calls, opened, self_ns, total_ns = ([0] * size for _ in range(5))
    values = zip(groups, columns.calls, columns.open, columns.self_ns, strict=True)
    for group, node_calls, node_open, node_self_ns in values:
        calls[group] += node_calls
        opened[group] += node_open
        self_ns[group] += node_self_ns
    for node in outermost(nodes.walk, groups):
        primitive_calls[groups[node]] += columns.calls[node]
        total_ns[groups[node]] += nodes.total_ns[node]
    seen = set(groups)
    sums = zip(calls, primitive_calls, opened, self_ns, total_ns, strict=True)
    return {group: Figures(*row) for group, row in enumerate(sums) if group in seen}
