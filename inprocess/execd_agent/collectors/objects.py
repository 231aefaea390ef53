"""The live objects of the program, without running any of its code.

The garbage collector knows the containers; what else there is, is found one step away from them.
"""

from __future__ import annotations

import _collections  # type: ignore[import-not-found]
import gc
import itertools
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_STEP = 5_000
# An identifier in a set.
_SEEN_BYTES = 100
_METHOD = type(object.__sizeof__)
_MRO = type.__dict__["__mro__"]
_NAMESPACE = type.__dict__["__dict__"]
_BASIC_SIZE = type.__dict__["__basicsize__"]
_MODULE = type.__dict__["__module__"]
_QUALNAME = type.__dict__["__qualname__"]


class Objects:
    """All objects that can be found, each once, in steps; threads may run in between.

    Args:
        limit_bytes: for the identifiers of those that the garbage collector does not know.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.unfollowed = 0
        self._most_seen = limit_bytes // _SEEN_BYTES

    def steps(self) -> Iterator[list[Any]]:
        """Yield them, some thousand at a time; a list is emptied when the next is asked for."""
        tracked = gc.get_objects()
        seen: set[int] = set()
        while tracked:
            step = tracked[-_STEP:]
            del tracked[-_STEP:]
            yield step
            yield from self._untracked(step, seen)
            # Frames that run here are among them (3.9, 3.10): a cycle, which would keep all of them alive.
            step.clear()

    def _untracked(self, step: list[Any], seen: set[int]) -> Iterator[list[Any]]:
        """Yield what objects refer to and the garbage collector does not know.

        By C functions, and with few objects of our own: each costs a microsecond where tracemalloc is on.
        """
        others = itertools.filterfalse(gc.is_tracked, gc.get_referents(*step))
        while some := list(itertools.islice(others, _STEP)):
            found = dict(zip(map(id, some), some))
            for known in seen.intersection(found):
                del found[known]
            while len(seen) + len(found) > self._most_seen:
                found.popitem()
                self.unfollowed += 1
            seen.update(found)
            some[:] = found.values()
            found.clear()
            yield some
            some.clear()


class Sizes:
    """What objects take, by C functions alone: a __sizeof__ that the program wrote is not called.

    Types are told apart by their numbers: one as a key would have its metaclass's __hash__ called.
    """

    def __init__(self) -> None:
        # A number to the type, which it keeps alive, and whether that has such a method.
        self._kinds: dict[int, tuple[type, bool]] = {}

    def kind(self, number: int) -> type:
        """Return the type of a number."""
        return self._kinds[number][0]

    def of(self, one: Any) -> int:
        """Return the bytes of an object, of its fixed part alone where its type has a __sizeof__ of the program's."""
        return self.each([one])[0]

    def each(self, objects: list[Any]) -> list[int]:
        """Return the bytes of each."""
        if self._know(objects):
            return [self._size(one) for one in objects]
        return list(map(sys.getsizeof, objects, itertools.repeat(0)))

    def counted(self, step: list[Any]) -> dict[tuple[int, int], int]:
        """Return how many objects there are by the number of their type and their size."""
        found: dict[tuple[int, int], int] = {}
        sizes: Any = map(sys.getsizeof, step, itertools.repeat(0))
        if self._know(step):
            sizes = map(self._size, step)
        # Little is made for each object that tracemalloc would see: the pairs come from a list of free ones.
        _collections._count_elements(found, zip(map(id, map(type, step)), sizes))
        return found

    def _know(self, objects: list[Any]) -> bool:
        """Get to know the types of objects, and tell whether one of them has a __sizeof__ of the program's."""
        kinds = dict(zip(map(id, map(type, objects)), map(type, objects)))
        for number in kinds.keys() - self._kinds.keys():
            self._kinds[number] = kinds[number], _has_own_size(kinds[number])
        return any(self._kinds[number][1] for number in kinds)

    def _size(self, one: Any) -> int:
        kind, has_own = self._kinds[id(type(one))]
        return int(_BASIC_SIZE.__get__(kind)) if has_own else sys.getsizeof(one, 0)


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


def _has_own_size(kind: type) -> bool:
    # A type that was never used has none yet.
    for base in _MRO.__get__(kind) or ():
        method = _NAMESPACE.__get__(base).get("__sizeof__")
        if method is not None:
            return type(method) is not _METHOD
    return False
