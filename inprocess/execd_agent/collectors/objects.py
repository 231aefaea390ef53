"""The live objects of the program, without running any of its code.

The garbage collector knows the containers; what else there is, is found one step away from them. All is done by C
functions that make nothing new for an object: where tracemalloc is on, what is made costs 1 to 10 us, and all else 0.3.
"""

from __future__ import annotations

import _operator
import gc
import itertools
import sys
from time import perf_counter_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

_STEP = 5_000
# Sorted by type at a time: one run over the rest of them a type.
_SORTED = 1_000
# An identifier in a set.
_SEEN_BYTES = 100
# The daemon waits for 20 s; beside threads that compute ours has a part of the time.
PATIENCE_NS = 15_000_000_000
# Object.h: objects of the type may be known to the garbage collector.
_HAVE_GC = 1 << 14
# Several types of one name are looked for one after the other; more at once, which makes a number for each object.
_FEW = 4
_METHOD = type(object.__sizeof__)
_MRO = type.__dict__["__mro__"]
_NAMESPACE = type.__dict__["__dict__"]
_BASIC_SIZE = type.__dict__["__basicsize__"]
_MODULE = type.__dict__["__module__"]
_QUALNAME = type.__dict__["__qualname__"]
_FLAGS = type.__dict__["__flags__"]


class Objects:
    """All objects that can be found, each once, in steps; threads may run in between.

    Args:
        limit_bytes: for the identifiers of those that the garbage collector does not know, and several refer to.
        kinds: only those of these types; None for all.

    Attributes:
        unfollowed: references that would have taken more.
        unseen: containers that the time did not suffice for.
    """

    def __init__(self, limit_bytes: int, kinds: list[type] | None = None) -> None:
        self.unfollowed = self.unseen = 0
        self._most_seen = limit_bytes // _SEEN_BYTES
        self._kinds = kinds
        self._are_tracked = kinds is not None and all(map(_is_tracked, kinds))
        self._alone = _count_alone()

    def steps(self) -> Iterator[list[Any]]:
        """Yield them, some thousand at a time; a list is emptied when the next is asked for."""
        tracked = gc.get_objects()
        seen: set[int] = set()
        until_ns = perf_counter_ns() + PATIENCE_NS
        while tracked and perf_counter_ns() < until_ns:
            step = tracked[-_STEP:]
            del tracked[-_STEP:]
            chosen = list(self._chosen(step))
            yield chosen
            chosen.clear()
            if not self._are_tracked:
                yield from self._untracked(step, seen)
            # Frames that run here are among them (3.9, 3.10): a cycle, which would keep all of them alive.
            step.clear()
        self.unseen = len(tracked)
        tracked.clear()

    def _chosen(self, objects: list[Any]) -> Iterable[Any]:
        if self._kinds is None:
            return objects
        if len(self._kinds) > _FEW:
            numbers = set(map(id, self._kinds))
            return itertools.compress(objects, map(numbers.__contains__, map(id, map(type, objects))))
        return itertools.chain.from_iterable(
            [itertools.compress(objects, are_of(kind, objects)) for kind in self._kinds]
        )

    def _untracked(self, step: list[Any], seen: set[int]) -> Iterator[list[Any]]:
        """Yield what objects refer to and the garbage collector does not know."""
        # Named, for as long as it is there it counts as one that refers to them.
        referents = gc.get_referents(*step)
        others = itertools.filterfalse(gc.is_tracked, self._chosen(referents))
        while some := list(itertools.islice(others, _STEP)):
            # What a single container refers to does not come again.
            alone = list(map(_operator.le, map(sys.getrefcount, some), itertools.repeat(self._alone)))
            shared = list(itertools.compress(some, map(_operator.not_, alone)))
            some[:] = itertools.compress(some, alone)
            found = dict(zip(map(id, shared), shared))
            shared.clear()
            for known in seen.intersection(found):
                del found[known]
            while len(seen) + len(found) > self._most_seen:
                found.popitem()
                self.unfollowed += 1
            seen.update(found)
            some += found.values()
            found.clear()
            yield some
            some.clear()
        referents.clear()


class Sizes:
    """What objects take, by C functions alone: a __sizeof__ that the program wrote is not called.

    Types are told apart by their numbers: one as a key would have its metaclass's __hash__ called.
    """

    def __init__(self) -> None:
        # By a type's number: the type, to keep it alive; what tells the size of an object; what comes to that.
        self._ways: dict[int, tuple[type, Any, int]] = {}

    def of(self, one: Any) -> int:
        """Return the bytes of an object, of its fixed part alone where its type has a __sizeof__ of the program's."""
        return self.total(type(one), [one])

    def total(self, kind: type, objects: list[Any]) -> int:
        """Return the bytes of objects of a type in all."""
        function, more = self._way(kind, objects)
        return sum(map(function, objects) if function else ()) + more * len(objects)

    def each(self, kind: type, objects: list[Any]) -> list[int]:
        """Return the bytes of each."""
        function, more = self._way(kind, objects)
        if function is None:
            return [more] * len(objects)
        return list(map(_operator.add, map(function, objects), itertools.repeat(more)))

    def _way(self, kind: type, objects: list[Any]) -> tuple[Any, int]:
        if id(kind) not in self._ways:
            self._ways[id(kind)] = kind, *_way(kind, objects[0])
        return self._ways[id(kind)][1:]


def by_type(objects: list[Any]) -> Iterator[tuple[type, list[Any]]]:
    """Yield the objects of each type; a type may come again. A list is emptied when the next is asked for."""
    for start in range(0, len(objects), _SORTED):
        rest = objects[start : start + _SORTED]
        while rest:
            kind = type(rest[0])
            fits = list(are_of(kind, rest))
            fitting = list(itertools.compress(rest, fits))
            rest[:] = itertools.compress(rest, map(_operator.not_, fits))
            yield kind, fitting
            fitting.clear()


def types_named(name: str) -> list[type]:
    """Return the types that are called by a name, with their module or without."""
    found: list[type] = []
    waiting: list[type] = [object]
    known = {id(object)}
    while waiting:
        kind = waiting.pop()
        if is_named(kind, name):
            found.append(kind)
        below = {id(one): one for one in type.__subclasses__(kind)}
        waiting += [below[number] for number in below.keys() - known]
        known.update(below)
    return found


def names_of(kind: type) -> tuple[str, str]:
    """Return module and qualified name of a type; "?" for what is no text."""
    try:
        module, name = _MODULE.__get__(kind), _QUALNAME.__get__(kind)
    except AttributeError:
        module, name = "?", kind.__name__
    return module if type(module) is str else "?", name if type(name) is str else "?"


def is_named(kind: type, name: str) -> bool:
    """Tell whether a type is called by this name, with its module or without."""
    module, qualname = names_of(kind)
    return name in (qualname, module + "." + qualname)


def traces_memory() -> bool:
    """Tell whether somebody has tracemalloc on; without an import where nobody has."""
    tracing = sys.modules.get("_tracemalloc")
    return tracing is not None and bool(tracing.is_tracing())


def are_of(kind: type, objects: Iterable[Any]) -> Iterator[bool]:
    """Return for each object whether it is of just this type."""
    return map(_operator.is_, map(type, objects), itertools.repeat(kind))


def _is_tracked(kind: type) -> bool:
    """Tell whether the garbage collector knows every object of a type: not tuples and dicts without containers."""
    return bool(_FLAGS.__get__(kind) & _HAVE_GC) and kind is not tuple and kind is not dict


def _count_alone() -> int:
    """Return how many references there are in `_untracked` to an object that one container refers to."""
    container = [float(_STEP)]
    referents = gc.get_referents(container)
    some = list(referents)
    [count] = map(sys.getrefcount, some)
    return count


def _way(kind: type, one: Any) -> tuple[Any, int]:
    """Return what tells the size of objects of a type, None for nothing, and what to add for what lies in front."""
    # A type that was never used has none yet.
    bases = _MRO.__get__(kind) or ()
    namespaces = (_NAMESPACE.__get__(base) for base in bases)
    found = [names["__sizeof__"] for names in namespaces if "__sizeof__" in names]
    method = found[0] if found else None
    if method is not None and type(method) is not _METHOD:
        return None, int(_BASIC_SIZE.__get__(kind))
    # Of types some have a head, and some not.
    if method is None or any(base is type for base in bases):
        return sys.getsizeof, 0
    # In one step of the interpreter: a list may grow between two.
    whole, own = itertools.chain(map(sys.getsizeof, (one,)), map(method, (one,)))
    return method, whole - own
