"""Samples become a profile: stacks of lines, with how often a thread was there in each state."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from execd.attach import syscalls
from execd.model.collector import SAMPLES, STATES
from execd.model.profile import BUILTIN_FILE, ROOT, Column, Function, Label, Location, Profile
from execd.model.views import LEFT_OUT
from execd.sampling.code_reader import CodeObject
from execd.sampling.samples import SYSTEM_CALL, THREAD, TOO_DEEP, UNSETTLED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from execd.model.profile import Header
    from execd.sampling.code_reader import Unreadable
    from execd.sampling.samples import Node, Nodes
    from execd.sampling.thread_names import ThreadName

_NAMES: Final = {UNSETTLED: "(unsettled)", TOO_DEEP: LEFT_OUT}
_UNREADABLE: Final = "(unreadable)"
# As the agent's modules are called in a target (execd_agent/importer.py).
_OURS: Final = "<execd_agent"
_OUR_THREAD: Final = "<execd_agent.agent>"
# Running, whether with the GIL or without.
_ON_A_PROCESSOR: Final = 2


@dataclass(frozen=True, slots=True)
class Part:
    """What one sampler has met.

    Attributes:
        nodes: parents before their children; those beyond what the counts name may have come since.
        codes: by the nodes' indexes.
        slices: by when each began, seconds since the epoch, 0 where there are none: counts by node and state.
    """

    nodes: Sequence[Node] | Nodes
    codes: Sequence[CodeObject | Unreadable]
    slices: Mapping[int, Mapping[tuple[int, int], int]]

    def listed(self) -> Part:
        """Return it with nodes that are found fast."""
        return replace(self, nodes=list(self.nodes))


def special(name: str) -> Function:
    """Return what stands for frames that are of no function."""
    return Function(name, name, BUILTIN_FILE, 0)


# Of a thread that was met outside of Python.
NO_FRAME: Final = special("(no frame of Python)")


def function_and_line(node: Node, codes: Sequence[CodeObject | Unreadable]) -> tuple[Function, int]:
    """Return what a node stands for that is no thread's, and the line there, 0 where it has none.

    Args:
        node: of a sampler.
        codes: what it has read of the code objects.
    """
    if node.code in _NAMES:
        return special(_NAMES[node.code]), 0
    if node.code == SYSTEM_CALL:
        return special(f"(system call {syscalls.name(node.where)})"), 0
    code = codes[node.code]
    if not isinstance(code, CodeObject):
        return special(_UNREADABLE), 0
    return Function(code.name, code.qualname, code.filename, code.first_line), code.lines.line(node.where) or 0


def stack_profile(
    header: Header, parts: Sequence[Part], names: Mapping[int, ThreadName], interval_ns: float
) -> Profile:
    """Return the profile of what samplers have met.

    Args:
        header: of the profile.
        parts: one after the other.
        names: of the threads, by the kernel's id.
        interval_ns: from one sample of a thread to the next, as it was on average.
    """
    tables = _Tables(header.pid, names)
    for part in parts:
        for at_s, counts in part.slices.items():
            tables.add(part, at_s, counts)
    # Our agent's thread waits nearly always.
    unchanged = header.extra.get("unchanged")
    told = header
    if isinstance(unchanged, int):
        told = replace(header, extra={**header.extra, "unchanged": max(unchanged - tables.left_out, 0)})
    return replace(tables.profile(told), columns=_columns(tables.counts, interval_ns))


class _Tables:
    """The tables of a profile that is being made.

    Args:
        pid: of the process.
        names: of its threads.
    """

    def __init__(self, pid: int, names: Mapping[int, ThreadName]) -> None:
        self._pid, self._names = pid, names
        self._functions: dict[Function, int] = {}
        self._locations: dict[Location, int] = {}
        self._labels: dict[Label, int] = {}
        self._nodes: dict[tuple[int, int, int], int] = {}
        # By state, one row a node.
        self.counts: list[list[int]] = []
        # Samples of our own agent.
        self.left_out = 0

    def add(self, part: Part, at_s: int, counts: Mapping[tuple[int, int], int]) -> None:
        """Add the counts of a slice."""
        counted = {node for node, _ in counts}
        roots = _roots(part, counted)
        threads = {roots[node][0] for node in counted if roots[node][1].startswith(_OUR_THREAD)}
        ours = {node for node in counted if roots[node][0] in threads or roots[node][1].startswith(_OURS)}
        places: dict[int, tuple[int, int]] = {}
        for node in sorted(_with_parents(part.nodes, counted - ours)):
            places[node] = self._place(part, node, at_s, places)
        for (node, state), count in counts.items():
            if node in ours:
                self.left_out += count
                continue
            place, label = places[node]
            if place == ROOT:
                place = self._node(ROOT, Location(self._function(NO_FRAME), 0), label)
            self.counts[place][state] += count

    def profile(self, header: Header) -> Profile:
        """Return what there is, without columns."""
        keys = list(self._nodes)
        return Profile(
            header=header,
            functions=tuple(self._functions),
            locations=tuple(self._locations),
            labels=tuple(self._labels),
            parents=array("i", (parent for parent, _, _ in keys)),
            node_locations=array("i", (location for _, location, _ in keys)),
            node_labels=array("i", (label for _, _, label in keys)),
            columns=(),
        )

    def _place(self, part: Part, node: int, at_s: int, places: Mapping[int, tuple[int, int]]) -> tuple[int, int]:
        """Return a node's index in the profile and that of its label."""
        found = part.nodes[node]
        if found.code == THREAD:
            label = self._label(found.where, at_s)
            return ROOT, self._labels.setdefault(label, len(self._labels))
        parent, label_index = places[-1 if found.parent is None else found.parent]
        return self._node(parent, self._location(found, part), label_index), label_index

    def _node(self, parent: int, location: Location, label: int) -> int:
        key = parent, self._locations.setdefault(location, len(self._locations)), label
        place = self._nodes.setdefault(key, len(self._nodes))
        if place == len(self.counts):
            self.counts.append([0] * len(STATES))
        return place

    def _label(self, native_id: int, at_s: int) -> Label:
        known = self._names.get(native_id)
        if known is None:
            return Label(native_id, "", self._pid, at_s=at_s)
        return Label(known.thread_id or native_id, known.name, self._pid, at_s=at_s)

    def _location(self, node: Node, part: Part) -> Location:
        function, line = function_and_line(node, part.codes)
        return Location(self._function(function), line)

    def _function(self, function: Function) -> int:
        return self._functions.setdefault(function, len(self._functions))


def _roots(part: Part, nodes: set[int]) -> dict[int, tuple[int, str]]:
    """Return of nodes, and all above them, the thread and the file of the outermost frame, "" where that is not known.

    The text that starts our agent is no frame here.
    """
    roots: dict[int, tuple[int, str]] = {}
    for node in sorted(_with_parents(part.nodes, nodes)):
        found = part.nodes[node]
        if found.parent is None:
            roots[node] = found.where, ""
            continue
        thread, file = roots[found.parent]
        code = part.codes[found.code] if not file and found.code < len(part.codes) else None
        own = code.filename if isinstance(code, CodeObject) and code.filename != "<string>" else ""
        roots[node] = thread, file or own
    return roots


def _with_parents(nodes: Sequence[Node] | Nodes, wanted: set[int]) -> set[int]:
    """Return nodes with all that they are below."""
    found: set[int] = set()
    for one in wanted:
        node: int | None = one
        while node is not None and node not in found:
            found.add(node)
            node = nodes[node].parent
    return found


def _columns(counts: Sequence[Sequence[int]], interval_ns: float) -> tuple[Column, ...]:
    samples = [sum(row) for row in counts]
    wall_ns = [round(count * interval_ns) for count in samples]
    cpu_ns = [round(sum(row[:_ON_A_PROCESSOR]) * interval_ns) for row in counts]
    figures = [samples, wall_ns, cpu_ns, *([row[state] for row in counts] for state in range(len(STATES)))]
    known = (*SAMPLES.columns, *STATES)
    return tuple(Column(name, unit, array("q", values)) for (name, unit), values in zip(known, figures, strict=True))
