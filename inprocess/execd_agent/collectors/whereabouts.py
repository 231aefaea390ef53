"""Where live objects were allocated, for `execctl memory --where`."""

from __future__ import annotations

import _collections  # type: ignore[import-not-found]
import _tracemalloc
import sys

from execd_agent.collectors import Refused
from execd_agent.collectors.objects import Objects, Sizes, by_type, names_of, types_named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST_FRAMES = 100
_SEEN_LIMIT_BYTES = 32 << 20
# Judged at a time: places below 257 are numbers that there are already.
_CHOSEN = 250
_IS_311 = sys.version_info[:2] == (3, 11)
# Of 3.11 (object.h): a type whose objects have a word for their attributes and one for weak references in front, and
# then the garbage collector's two.
_MANAGED_DICT = 1 << 4
_HEAD_BYTES = 32
_FLAGS = type.__dict__["__flags__"]


def find(name: str, most: int) -> dict[str, Any]:
    """Return the largest objects of a type, or the one that "module:attribute" is, with their tracebacks.

    Objects without one tell nothing of where: they are counted, as far as they are larger than those returned.

    Raises:
        Refused: there is nothing of that name.
    """
    if ":" in name:
        one = _attribute(*name.split(":", 1))
        size = Sizes().of(one)
        return {"count": 1, "bytes": size, "objects": [_described(size, type(one), Tracebacks().of(one))]}
    kinds = types_named(name)
    objects, largest = Objects(_SEEN_LIMIT_BYTES, kinds), _Largest(most)
    for step in objects.steps() if kinds else ():
        for kind, same in by_type(step):
            largest.add(kind, same)
    if not largest.count:
        raise Refused("no live object is of a type " + name)
    found: dict[str, Any] = {"count": largest.count, "bytes": largest.total, "untraced": largest.untraced()}
    found["unseen"], found["unfollowed"] = objects.unseen, objects.unfollowed
    return {**found, "objects": [_described(*row) for row in largest.rows]}


class _Largest:
    """The largest objects that were traced, of those that are added; what they are is let go of."""

    def __init__(self, most: int) -> None:
        self.count = self.total = 0
        # Size, type and frames, the largest first.
        self.rows: list[tuple[int, type, Any]] = []
        self._most = most
        self._sizes, self._tracebacks = Sizes(), Tracebacks()
        # How many have no traceback, by their size.
        self._untraced: dict[int, int] = {}

    def add(self, kind: type, objects: list[Any]) -> None:
        """Add objects of a type."""
        self.count += len(objects)
        for start in range(0, len(objects), _CHOSEN):
            some = objects[start : start + _CHOSEN]
            sizes = self._sizes.each(kind, some)
            self.total += sum(sizes)
            # Mostly nothing is done here with each.
            if max(sizes) > self._least():
                self._choose(kind, some, sizes)

    def untraced(self) -> int:
        """Return how many that are larger than the rows have no traceback."""
        return sum(count for size, count in self._untraced.items() if size > self._least())

    def _least(self) -> int:
        return self.rows[-1][0] if len(self.rows) == self._most else -1

    def _choose(self, kind: type, objects: list[Any], sizes: list[int]) -> None:
        untraced: list[int] = []
        for place in sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True):
            if sizes[place] <= self._least():
                break
            frames = self._tracebacks.of(objects[place])
            if frames is None:
                untraced.append(sizes[place])
            else:
                self.rows = sorted([*self.rows, (sizes[place], kind, frames)], key=_size, reverse=True)[: self._most]
        counted: dict[int, int] = {}
        _collections._count_elements(counted, untraced)
        for size, count in counted.items():
            self._untraced[size] = self._untraced.get(size, 0) + count


class Tracebacks:
    """Where objects were allocated."""

    def __init__(self) -> None:
        self._by_address: Any = None

    def of(self, one: Any) -> Any:
        """Return the frames of an object's allocation, the most recent first, None where it was not traced."""
        frames = _tracemalloc._get_object_traceback(one)
        if frames is None and _IS_311 and _FLAGS.__get__(type(one)) & _MANAGED_DICT:
            self._by_address = self._by_address or _function_by_address()
            frames = self._by_address(0, id(one) - _HEAD_BYTES)
            return getattr(frames, "value", frames)
        return frames


def _size(row: Any) -> Any:
    return row[0]


def _described(size: int, kind: type, frames: Any) -> dict[str, Any]:
    module, name = names_of(kind)
    return {
        "type": module + "." + name,
        "bytes": size,
        "is_traced": frames is not None,
        "frames": [[str(file), line] for file, line in (frames or ())[:_MOST_FRAMES]],
    }


def _function_by_address() -> Any:
    """Return what finds frames by domain and address: the function of 3.11 overlooks what lies in front of objects."""
    try:
        import _ctypes  # noqa: PLC0415 - not every interpreter has it
    except ImportError:
        return _nothing
    dlopen: Any = _ctypes.dlopen
    number: Any = type("number", (_ctypes._SimpleCData,), {"_type_": "L"})
    found: Any = type("found", (_ctypes._SimpleCData,), {"_type_": "O"})
    flags = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_PYTHONAPI
    members = {"_flags_": flags, "_restype_": found, "_argtypes_": (number, number)}
    prototype: Any = type("traceback", (_ctypes.CFuncPtr,), members)
    return prototype(_ctypes.dlsym(dlopen(None, 0), "_PyTraceMalloc_GetTraceback"))


def _nothing(_domain: int, _address: int) -> None:
    return None


def _attribute(module: str, path: str) -> Any:
    """Return what lies in a module under a path of names, by the namespaces alone: no property is run."""
    found = sys.modules.get(module)
    for name in path.split("."):
        try:
            namespace = (type if isinstance(found, type) else object).__getattribute__(found, "__dict__")
            found = namespace[name]
        except (AttributeError, KeyError):
            raise Refused("there is no " + module + ":" + path) from None
    return found
