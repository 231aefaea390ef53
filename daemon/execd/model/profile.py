"""Profile: the immutable result of every collector, a tree of stacks with columns.

Everything that a report needs is a pure function on this value; see `fold.py` and `change.py`.
A parent stands before its children, so one pass forwards or backwards over the nodes is a walk of the tree.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from execd.errors import ProfileCorrupt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execd.model.processtree import ProcessTree
    from execd.model.source import SourceFile

# C functions have this file and first line 0, as in pstats.
BUILTIN_FILE = "~"
# The limit is on what a hostile agent can make the daemon hold; 4 million nodes are 200 MB.
MAX_NODES = 4_000_000
ROOT = -1
# The form of what no collector of ours recorded, but came out of a file; such a profile has no span and no session.
IMPORTED: Final = "imported"
# The form of the session of a profile that is the sum of others; the profile itself has theirs.
MERGED: Final = "merged"


@dataclass(frozen=True, slots=True)
class Function:
    """A function as it appears in reports.

    Attributes:
        name: co_name, or for a C function the name that cProfile gives it, "<built-in method builtins.len>".
        qualname: co_qualname, or the name where the version has none.
        file: co_filename, or "~" for a C function.
        first_line: co_firstlineno, 0 for a C function.
    """

    name: str
    qualname: str
    file: str
    first_line: int


@dataclass(frozen=True, slots=True)
class Location:
    """A line in a function; `function` is an index into Profile.functions, line 0 stands for the whole function."""

    function: int
    line: int


@dataclass(frozen=True, slots=True)
class Label:
    """Where a stack was seen; each node names one of these.

    Attributes:
        thread_id: threading.get_ident() in the target; 0 where it does not apply.
        thread_name: the threading module's name of it, or "".
        pid: the process, for profiles of several.
        domain: tracemalloc's, of memory; 0 where it does not apply.
        at_s: of an always-on recording when the slice began that the stack was seen in, seconds since the epoch; 0
            where there are no slices.
    """

    thread_id: int
    thread_name: str
    pid: int
    domain: int = 0
    at_s: int = 0


@dataclass(frozen=True, slots=True)
class Column:
    """One figure a node: `values[i]` belongs to node i (array typecode "q")."""

    name: str
    unit: str
    values: array[int]


@dataclass(frozen=True, slots=True)
class Header:
    """Where a profile comes from and what is to be known about it.

    Attributes:
        collector: a key of COLLECTORS, "calls".
        form: "native" or "python"; IMPORTED: then command_line is the file, and started_at when it was imported.
        session: the id of its session, "s12"; "" for a merged or imported one.
        pid: of the target.
        command_line: the target's argv.
        python_version: "3.11.7".
        options: the collector's options, JSON values.
        started_at, ended_at: the span that it covers, seconds since the epoch.
        lost: what is missing, by reason: a count each.
        caveats: what the numbers do not say, one sentence each.
        extra: figures of a collector's own, JSON values ("rate_hz", "event_cost_ns").
        profile: its id where it came out of the store, "p34"; it is no part of what is stored.
        lasting: what a command is to call it by where that is not its id, for another profile is about to take its
            place; no part of what is stored.
        tree: of the sum of a tree's processes, what tree that is; no part of what is stored either.
    """

    collector: str
    form: str
    session: str
    pid: int
    command_line: tuple[str, ...]
    python_version: str
    started_at: float
    ended_at: float
    options: Mapping[str, object] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict)
    profile: str = field(default="", compare=False)
    lasting: str = field(default="", compare=False)
    tree: ProcessTree | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Profile:
    """A tree of stacks.

    Attributes:
        header: origin, span, losses.
        functions, locations, labels: tables that the nodes point into.
        parents: index of a node's parent, smaller than its own; ROOT for a bottom frame (array typecode "i").
        node_locations: a node's index in locations (array typecode "i").
        node_labels: a node's index in labels (array typecode "i").
        columns: those of the header's collector, see `collector.py`; for calls: calls (count), self_ns (ns), open
            (activations already running at the start, which carry no call of their own).
        files: what is known of the sources of its functions; empty where no report needs them.
    """

    header: Header
    functions: tuple[Function, ...]
    locations: tuple[Location, ...]
    labels: tuple[Label, ...]
    parents: array[int]
    node_locations: array[int]
    node_labels: array[int]
    columns: tuple[Column, ...]
    files: tuple[SourceFile, ...] = ()

    def column(self, name: str) -> array[int]:
        """Return the values of a column.

        Raises:
            KeyError: the collector of this profile has no such column.
        """
        for column in self.columns:
            if column.name == name:
                return column.values
        raise KeyError(name)

    def function_of(self, node: int) -> int:
        """Return the index of a node's function."""
        return self.locations[self.node_locations[node]].function


def check(profile: Profile) -> Profile:
    """Return the profile, or raise ProfileCorrupt where it breaks the rules above."""
    count = len(profile.parents)
    if count > MAX_NODES:
        raise ProfileCorrupt(f"a profile of {count} nodes is over the limit of {MAX_NODES}")
    _check_lengths(profile, count)
    _check_range("location of a node", profile.node_locations, len(profile.locations))
    _check_range("label of a node", profile.node_labels, len(profile.labels))
    functions = array("i", (location.function for location in profile.locations))
    _check_range("function of a location", functions, len(profile.functions))
    for node, parent in enumerate(profile.parents):
        if not ROOT <= parent < node:
            raise ProfileCorrupt(f"node {node} has the parent {parent}, which does not stand before it")
    return profile


def _check_lengths(profile: Profile, count: int) -> None:
    rows = [("locations", profile.node_locations), ("labels", profile.node_labels)]
    rows += [(column.name, column.values) for column in profile.columns]
    for name, values in rows:
        if len(values) != count:
            raise ProfileCorrupt(f"{len(values)} {name} for {count} nodes")
    names = [column.name for column in profile.columns]
    if len(set(names)) != len(names):
        raise ProfileCorrupt("two columns of one name")


def _check_range(what: str, values: array[int], size: int) -> None:
    if values and (min(values) < 0 or max(values) >= size):
        raise ProfileCorrupt(f"the {what} points outside of its table of {size}")
