"""The live objects of the program, without running any of its code.

The garbage collector knows the containers; what else there is, is found one step away from them.
"""

from __future__ import annotations

import gc
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
        """Yield them, some thousand at a time."""
        tracked = gc.get_objects()
        ours = {id(tracked), id(self), id(vars(self))}
        seen: set[int] = set()
        ours.add(id(seen))
        while tracked:
            step = [one for one in tracked[-_STEP:] if id(one) not in ours]
            del tracked[-_STEP:]
            yield step
            yield self._untracked(step, seen)

    def _untracked(self, step: list[Any], seen: set[int]) -> list[Any]:
        """Return what objects refer to and the garbage collector does not know."""
        found = []
        for one in gc.get_referents(*step):
            if gc.is_tracked(one) or id(one) in seen:
                continue
            if len(seen) >= self._most_seen:
                self.unfollowed += 1
                continue
            seen.add(id(one))
            found.append(one)
        return found


class Sizes:
    """What objects take, by C functions alone: a __sizeof__ that the program wrote is not called."""

    def __init__(self) -> None:
        self._has_own: dict[type, bool] = {}

    def of(self, one: Any) -> int:
        """Return the bytes of an object, of its fixed part alone where its type has a __sizeof__ of the program's."""
        kind = type(one)
        has_own = self._has_own.get(kind)
        if has_own is None:
            has_own = self._has_own[kind] = _has_own_size(kind)
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
    for base in _MRO.__get__(kind):
        method = _NAMESPACE.__get__(base).get("__sizeof__")
        if method is not None:
            return type(method) is not _METHOD
    return False
