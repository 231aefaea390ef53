"""How many events a native core has heard, by function, read off a copy of its tables; coretables.py has their shapes.

Made some times a second, and so without what a profile needs beside: threads, texts, the tree.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Final

from execd.attach import coretables
from execd.errors import ProfileCorrupt
from execd.model.overhead import Counts, FunctionCounts

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from execd.model.profile import Function

# What a function is. The first four are places in sums too, which begin as Counts do.
_CODE, _RESUMED, _C, _METHOD, _OWN, _OVER = range(6)
_UNCOUNTED, _OWN_TICKS, _BUSY_TICKS, _TIMED, _TIMED_TICKS, _TICKS_BELOW, _SUMS = range(4, 11)
# C functions that take longer on the mean are taken for such as wait.
_WAITS_NS: Final = 1_000_000
_IS_C, _IS_OFF, _IS_RESUMED = 1, 2, 4
# Whose the calls are that a thread's root has made: what the memory limit left out.
NOBODY: Final = -1
_METHOD_NAME: Final = b"<method "
# What the memory limit left out, a C function in tables: it is told all the same, mostly as calls in Python.
_OVER_NAME: Final = b"(calls over the memory limit)"
_OWN_FILE: Final = coretables.OWN_CODE.encode()


@dataclass(frozen=True, slots=True)
class CoreCounts:
    """What tables say.

    Attributes:
        functions: what those of code have cost in all, with the C functions that they called, by number; and NOBODY.
        off: the numbers of those that are switched off.
    """

    functions: Mapping[int, FunctionCounts]
    off: frozenset[int]

    @property
    def total(self) -> Counts:
        """What all have cost."""
        rows = [astuple(one.counts) for one in self.functions.values()]
        return Counts(*map(sum, zip(*rows, strict=True))) if rows else Counts()

    def since(self, earlier: CoreCounts) -> list[FunctionCounts]:
        """Return what those that are on have cost since others."""
        found = []
        for index, now in self.functions.items():
            then = earlier.functions.get(index, FunctionCounts(index, Counts(), 0))
            if index != NOBODY and index not in self.off:
                found.append(replace(now, counts=now.counts.since(then.counts), ns=max(now.ns - then.ns, 0)))
        return found


def read_counts(data: bytes) -> CoreCounts:
    """Return what is counted in a copy of a core's tables.

    Raises:
        ProfileCorrupt: these are no such tables.
    """
    head = coretables.read_head(data)
    kinds, off = _kinds(data, head)
    sums = _sums(coretables.Nodes(data, head), kinds, _WAITS_NS / head.ns_a_tick)
    functions = {index: _function(index, row, head.ns_a_tick) for index, row in sums.items()}
    return CoreCounts(functions, frozenset(off))


def _function(index: int, row: list[int], rate: float) -> FunctionCounts:
    """Return what is counted of a function, by its sums, with so many ns a tick."""
    own_ns, busy_ns, timed_ns, below_ns = (
        round(row[at] * rate) for at in (_OWN_TICKS, _BUSY_TICKS, _TIMED_TICKS, _TICKS_BELOW)
    )
    python, resumed, c, method, uncounted = row[: _UNCOUNTED + 1]
    counts = Counts(python, resumed, c, method, uncounted, own_ns, busy_ns, row[_TIMED], timed_ns)
    return FunctionCounts(index, counts, own_ns + below_ns)


def functions_at(data: bytes, indexes: Collection[int]) -> dict[int, Function]:
    """Return which functions some numbers stand for in a copy of tables; the others are not read.

    Raises:
        ProfileCorrupt: these are no such tables.
    """
    head = coretables.read_head(data)
    coretables.require_own_texts(data, head)
    rows = enumerate(coretables.function_rows(data, head))
    return {index: coretables.read_function(data, head, row) for index, row in rows if index in indexes}


def off_in(data: bytes) -> frozenset[int]:
    """Return the numbers of the functions that are switched off in a copy of tables. Raises ProfileCorrupt."""
    rows = coretables.function_rows(data, coretables.read_head(data))
    return frozenset(index for index, row in enumerate(rows) if row[0] & _IS_OFF)


def _kinds(data: bytes, head: coretables.Head) -> tuple[bytearray, list[int]]:
    """Return what each function is, and which are switched off."""
    kinds, off, text_at = bytearray(), [], head.regions[3]
    for index, row in enumerate(coretables.function_rows(data, head)):
        kind, _, name_at, _, _, _, file_at, _ = row
        if kind & _IS_OFF:
            off.append(index)
        if kind & _IS_C:
            starts = (data.startswith(name, text_at + name_at) for name in (_METHOD_NAME, _OVER_NAME))
            kinds.append(next((of for of, is_so in zip((_METHOD, _OVER), starts, strict=True) if is_so), _C))
        else:
            is_own = data.startswith(_OWN_FILE, text_at + file_at)
            kinds.append(_OWN if is_own else _RESUMED if kind & _IS_RESUMED else _CODE)
    return kinds, off


def _sums(nodes: coretables.Nodes, kinds: bytearray, waits_ticks: float) -> dict[int, list[int]]:
    """Return sums by function of code, as the places above name them.

    Calls or resumptions of its own, those of C functions and methods that it made, uncounted events; ticks of its own,
    and of C functions that take less a call than `waits_ticks`; timed handlers, their ticks; ticks of all C functions.
    """
    sums: dict[int, list[int]] = {}
    timed = enumerate(nodes.timed)
    rows = zip(nodes.functions, nodes.parents, nodes.calls, nodes.uncounted, nodes.self_ticks, timed, strict=True)
    for function, parent, calls, uncounted, ticks, (node, count) in rows:
        # Roots, and nodes that nobody has, stand for no function; 0 is nobody's number.
        if parent == coretables.NO_INDEX or not function:
            continue
        if function >= len(kinds):
            raise ProfileCorrupt("a node of a core without its function")
        kind = kinds[function]
        if kind == _OWN:
            continue
        is_code = kind <= _RESUMED
        owner = function if is_code else NOBODY if kind == _OVER else _caller(nodes, parent)
        found = sums.get(owner) or sums.setdefault(owner, [0] * _SUMS)
        found[_CODE if kind == _OVER else kind] += calls
        found[_UNCOUNTED] += uncounted
        found[_OWN_TICKS if is_code else _TICKS_BELOW] += ticks
        if not is_code and ticks < calls * waits_ticks:
            found[_BUSY_TICKS] += ticks
        if count:
            found[_TIMED] += count
            found[_TIMED_TICKS] += nodes.timed_ticks[node]
    return sums


def _caller(nodes: coretables.Nodes, node: int) -> int:
    """Return the function of a node, NOBODY of a thread's root."""
    if node >= len(nodes.functions):
        raise ProfileCorrupt("a node of a core without its parent")
    return nodes.functions[node] if nodes.parents[node] != coretables.NO_INDEX else NOBODY
