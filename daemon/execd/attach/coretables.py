"""The tables of the native core as a Profile; see inprocess/native/tables.h. A stranger's bytes, checked as others."""

from __future__ import annotations

import struct
from array import array
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from execd.errors import ProfileCorrupt
from execd.model.profile import BUILTIN_FILE, ROOT, Column, Function, Label, Location, Profile, check
from execd.model.timeslices import with_slices

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from execd.model.profile import Header

_MAGIC: Final = 0x65726F6364637865
_VERSION: Final = 1
NO_INDEX: Final = 0xFFFFFFFF
# magic; version, head_bytes; size; nodes_at, threads_at, functions_at, text_at; 4 limits; clock, spare; the first and
# the latest instant; sliced_ns, recorded_ns. On the third line of a cache: sequence; unused, nodes, threads, functions,
# text_bytes; lost_calls; is_paused, spare, slice_began_ns.
_HEAD: Final = struct.Struct("<QIIQQQQQ6I6QQ5I4xQI4xQ8x")
_NODE_BYTES, _NODE_LONGS, _NODE_INTS = 64, 8, 16
# ident, last_ticks, skipped; root, node, youngest, timing, name_at, name_bytes; native_id; state, is_silent, over.
_THREAD: Final = struct.Struct("<3Q6Ii3I")
# kind, first_line; name, qualname, file: where they are and how long.
_FUNCTION: Final = struct.Struct("<8I")
_C_FUNCTION, _RUNS, _ENDED, _CLOCK_TSC, _CLOCK_CPU = 1, 0, 1, 0, 2
_ENDED_THREADS: Final = "(ended threads)"
# Code of the agent's: a program's thread runs some where it forks, and where it ends.
OWN_CODE: Final = "<execd_agent"
# Of a node, a thread, a function, a byte of text.
_SIZES: Final = (_NODE_BYTES, _THREAD.size, _FUNCTION.size, 1)
_TEXT_LIMIT: Final = 1000
_LINE_LIMIT: Final = 1 << 31
_SUM_LIMIT: Final = 1 << 62
_LOST: Final = "calls over the memory limit"


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of tables says that is of use here; `regions` are where nodes, threads, functions, text begin."""

    regions: tuple[int, int, int, int]
    counts: tuple[int, int, int, int]
    clock: int
    first: tuple[int, int]
    latest: tuple[int, int]
    lost_calls: int
    is_paused: bool
    """Whether nothing is recorded just now: then all that is open has its time."""
    sliced_ns: int
    """On CLOCK_MONOTONIC as `first` has it, when time slices began; 0 where there are none."""
    recorded_ns: int
    """How long slices were since then, the last one until the latest instant."""

    @property
    def ns_a_tick(self) -> float:
        """What a tick of its clock is."""
        ticks, ns = self.latest[0] - self.first[0], self.latest[1] - self.first[1]
        return ns / ticks if self.clock == _CLOCK_TSC and ticks > 0 and ns > 0 else 1.0


@dataclass(frozen=True, slots=True)
class _Thread:
    ident: int
    last_ticks: int
    root: int
    node: int
    native_id: int
    name: str
    state: int
    over: int
    """The node of what the memory limit left out."""


def read_core(
    data: bytes | memoryview, header: Header, pid: int, names: Mapping[int, str], cpu_ns: Mapping[int, int]
) -> Profile:
    """Return the profile in a core's tables.

    Args:
        data: a copy of them.
        header: of the profile; what was lost is added.
        pid: of the process.
        names: of threads that run, by their identifier, where they are known better.
        cpu_ns: of threads that run, by the system's number, what their CPU clocks show now.

    Raises:
        ProfileCorrupt: these are no such tables.
    """
    head = read_head(data)
    require_own_texts(data, head)
    functions = read_functions(data, head)
    threads = _threads(data, head)
    nodes = Nodes(data, head)
    parents, order, node_threads = _ordered(nodes, threads, functions)
    # Threads that have ended, and others of which nothing is left, are none in a report.
    labels = {thread: label for label, thread in enumerate(dict.fromkeys(node_threads))}
    met = [threads[thread] for thread in labels]
    figures = _figures(nodes, order, head, _pending(threads, head, cpu_ns))
    found = Profile(
        header=_completed(header, head),
        functions=functions,
        locations=tuple(Location(index, 0) for index in range(len(functions))),
        labels=tuple(Label(one.ident, one.name or names.get(one.ident, ""), pid, 0) for one in met),
        parents=parents,
        node_locations=array("i", [nodes.functions[node] for node in order]),
        node_labels=array("i", [labels[thread] for thread in node_threads]),
        columns=tuple(Column(name, unit, values) for (name, unit), values in figures.items()),
    )
    return check(found)


class Nodes:
    """The columns of the nodes, by index."""

    def __init__(self, data: bytes | memoryview, head: Head) -> None:
        start, count = head.regions[0], head.counts[0]
        raw = bytes(data[start : start + count * _NODE_BYTES])
        longs, ints = array("Q", raw), array("I", raw)
        self.calls, self.self_ticks, self.uncounted, self.timed_ticks = (longs[at::_NODE_LONGS] for at in (1, 2, 3, 4))
        self.parents, self.functions, self.opens, self.timed = (ints[at::_NODE_INTS] for at in (10, 12, 13, 15))


def read_head(data: bytes | memoryview) -> Head:
    """Return what the head of tables says, checked against their size. Raises ProfileCorrupt."""
    if len(data) < _HEAD.size:
        raise ProfileCorrupt("tables of a core without their head")
    magic, version, head_bytes, _, *rest = _HEAD.unpack_from(data)
    if (magic, version, head_bytes) != (_MAGIC, _VERSION, _HEAD.size):
        raise ProfileCorrupt("tables of another core than ours")
    nodes_at, threads_at, functions_at, text_at = rest[:4]
    first, latest = (rest[10], rest[11]), (rest[12], rest[13])
    sliced_ns, recorded_ns = rest[14:16]
    _, _, nodes, threads, functions, text, lost_calls, is_paused, slice_began_ns = rest[16:]
    if slice_began_ns and not is_paused:
        recorded_ns += max(latest[1] - slice_began_ns, 0)
    regions = (nodes_at, threads_at, functions_at, text_at)
    counts = (nodes, threads, functions, text)
    ends = [at + count * size for at, count, size in zip(regions, counts, _SIZES, strict=True)]
    # One after the other: what lies in several would be read more often than its bytes were counted.
    if any(end > start for end, start in zip(ends, (*regions[1:], len(data)), strict=True)) or nodes_at < _HEAD.size:
        raise ProfileCorrupt("tables of a core that overlap, or end too soon")
    lost_calls = min(lost_calls, _SUM_LIMIT)
    return Head(regions, counts, rest[8], first, latest, lost_calls, bool(is_paused), sliced_ns, recorded_ns)


def function_rows(data: bytes | memoryview, head: Head) -> Iterable[tuple[int, ...]]:
    """Return the rows of functions: kind and first line, then where name, qualified name and file are and how long."""
    return _rows(data, head.regions[2], head.counts[2], _FUNCTION)


def _rows(data: bytes | memoryview, start: int, count: int, shape: struct.Struct) -> Iterable[tuple[int, ...]]:
    return shape.iter_unpack(data[start : start + count * shape.size])


def require_own_texts(data: bytes | memoryview, head: Head) -> None:
    """Raise ProfileCorrupt where texts are used more than once: all of them would take any amount of memory."""
    used = sum(sum(row[3::2]) for row in _rows(data, head.regions[2], head.counts[2], _FUNCTION))
    used += sum(row[8] for row in _rows(data, head.regions[1], head.counts[1], _THREAD))
    if used > head.counts[3]:
        raise ProfileCorrupt("texts of a core that overlap")


def _text(data: bytes | memoryview, head: Head, at: int, size: int) -> str:
    if at + size > head.counts[3]:
        raise ProfileCorrupt("a text of a core that is outside of its texts")
    start = head.regions[3] + at
    try:
        return str(data[start : start + size], "utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise ProfileCorrupt("a text that is not UTF-8") from None


def read_functions(data: bytes | memoryview, head: Head) -> tuple[Function, ...]:
    """Return the functions, by their numbers. Raises ProfileCorrupt."""
    return tuple(read_function(data, head, row) for row in function_rows(data, head))


def read_function(data: bytes | memoryview, head: Head, row: tuple[int, ...]) -> Function:
    """Return the function of a row. Raises ProfileCorrupt."""
    kind, first_line, *texts = row
    name, qualname, file = (_text(data, head, at, size) for at, size in zip(texts[::2], texts[1::2], strict=True))
    is_c = kind == _C_FUNCTION
    file, qualname = (BUILTIN_FILE, name) if is_c else (file, qualname)
    return Function(name, qualname, file, min(first_line, _LINE_LIMIT))


def _threads(data: bytes | memoryview, head: Head) -> list[_Thread]:
    found: list[_Thread] = []
    for row in _rows(data, head.regions[1], head.counts[1], _THREAD):
        ident, last_ticks, skipped, root, node, _, _, name_at, name_bytes, native_id, state, _, over = row
        node = over if skipped else node
        name = _text(data, head, name_at, name_bytes)[:_TEXT_LIMIT] if name_bytes else ""
        found.append(_Thread(ident, last_ticks, root, node, native_id, name if found else _ENDED_THREADS, state, over))
    return found


def _ordered(
    nodes: Nodes, threads: list[_Thread], functions: tuple[Function, ...]
) -> tuple[array[int], list[int], array[int]]:
    """Return the nodes below the roots of threads, parents first: their parents, which they are, their threads."""
    children = defaultdict(list)
    for node, parent in enumerate(nodes.parents):
        if parent != NO_INDEX:
            children[parent].append(node)
    parents, node_threads = array("i"), array("i")
    order: list[int] = []
    for number, thread in enumerate(threads):
        if thread.state not in (_RUNS, _ENDED):
            continue
        tops = children.pop(thread.root, ())
        pending = [(node, ROOT) for node in tops if node != thread.over or nodes.calls[node] or nodes.opens[node]]
        while pending:
            node, parent = pending.pop()
            if nodes.functions[node] >= len(functions):
                raise ProfileCorrupt("a node of a core without its function")
            if functions[nodes.functions[node]].file.startswith(OWN_CODE):
                continue
            pending += [(child, len(order)) for child in children.pop(node, ())]
            parents.append(parent)
            order.append(node)
            node_threads.append(number)
    return parents, order, node_threads


def _pending(threads: list[_Thread], head: Head, cpu_ns: Mapping[int, int]) -> dict[int, int]:
    """Return the ticks that have gone since the last event of threads that run, by the node that they are at."""
    found = {}
    for thread in threads[1:]:
        if thread.state == _RUNS and not head.is_paused:
            now = cpu_ns.get(thread.native_id, 0) if head.clock == _CLOCK_CPU else head.latest[0]
            found[thread.node] = max(now - thread.last_ticks, 0)
    return found


def _completed(header: Header, head: Head) -> Header:
    """Return a header with what is told of losses and of time slices."""
    lost = {**header.lost, **({_LOST: head.lost_calls} if head.lost_calls else {})}
    header = replace(header, lost=lost)
    if not head.sliced_ns:
        return header
    # By the span that the header has, which is ours: in it lies what a target says, whatever that is.
    span_s = max(header.ended_at - header.started_at, 0.0)
    whole_s = span_s - min(max((head.sliced_ns - head.first[1]) / 1e9, 0.0), span_s)
    return with_slices(header, head.recorded_ns / 1e9, whole_s)


def _figures(
    nodes: Nodes, order: list[int], head: Head, pending: Mapping[int, int]
) -> dict[tuple[str, str], array[int]]:
    rate = head.ns_a_tick
    figures = {
        ("calls", "count"): [nodes.calls[node] for node in order],
        ("self_ns", "ns"): [round((nodes.self_ticks[node] + pending.get(node, 0)) * rate) for node in order],
        ("open", "count"): [nodes.opens[node] for node in order],
        ("uncounted", "count"): [nodes.uncounted[node] for node in order],
        ("timed", "count"): [nodes.timed[node] for node in order],
        ("timed_ns", "ns"): [round(nodes.timed_ticks[node] * rate) for node in order],
    }
    if any(sum(values) > _SUM_LIMIT for values in figures.values()):
        raise ProfileCorrupt("figures that no clock and no counter reaches")
    return {key: array("q", values) for key, values in figures.items()}
