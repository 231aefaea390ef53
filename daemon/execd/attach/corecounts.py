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

_CODE, _C, _METHOD, _OWN, _OVER = range(5)
_IS_C, _IS_OFF = 1, 2
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
    sums = _sums(coretables.Nodes(data, head), kinds)
    rate = head.ns_a_tick
    functions = {
        index: FunctionCounts(
            index, Counts(python, 0, c, method, uncounted, round(own * rate)), round((own + below) * rate)
        )
        for index, (python, c, method, uncounted, own, below) in sums.items()
    }
    return CoreCounts(functions, frozenset(off))


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
            kinds.append(_OWN if data.startswith(_OWN_FILE, text_at + file_at) else _CODE)
    return kinds, off


def _sums(nodes: coretables.Nodes, kinds: bytearray) -> dict[int, list[int]]:
    """Return by function of code: its calls, those of C functions and methods that it made, uncounted events, ticks.

    The ticks are its own, and those of the C functions.
    """
    sums: dict[int, list[int]] = {}
    rows = zip(nodes.functions, nodes.parents, nodes.calls, nodes.uncounted, nodes.self_ticks, strict=True)
    for function, parent, calls, uncounted, ticks in rows:
        # Roots, and nodes that nobody has, stand for no function; 0 is nobody's number.
        if parent == coretables.NO_INDEX or not function:
            continue
        if function >= len(kinds):
            raise ProfileCorrupt("a node of a core without its function")
        kind = kinds[function]
        if kind == _OWN:
            continue
        owner = NOBODY if kind == _OVER else function if kind == _CODE else _caller(nodes, parent)
        found = sums.setdefault(owner, [0] * 6)
        found[_CODE if kind == _OVER else kind] += calls
        found[3] += uncounted
        found[4 if kind == _CODE else 5] += ticks
    return sums


def _caller(nodes: coretables.Nodes, node: int) -> int:
    """Return the function of a node, NOBODY of a thread's root."""
    if node >= len(nodes.functions):
        raise ProfileCorrupt("a node of a core without its parent")
    return nodes.functions[node] if nodes.parents[node] != coretables.NO_INDEX else NOBODY
