"""Where live objects were allocated, for `execctl memory --where`."""

from __future__ import annotations

import _operator
import _tracemalloc
import itertools
import sys

from execd_agent.collectors import Refused
from execd_agent.collectors.objects import Objects, Sizes, is_named, names_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST_FRAMES = 100
_SEEN_LIMIT_BYTES = 32 << 20
# Of 3.11 (object.h): a type whose objects have a word for their attributes and one for weak references in front, and
# then the garbage collector's two.
_MANAGED_DICT = 1 << 4
_HEAD_BYTES = 32
_FLAGS = type.__dict__["__flags__"]


def find(name: str, most: int) -> dict[str, Any]:
    """Return the largest objects of a type, or the one that "module:attribute" is, with their tracebacks.

    Raises:
        Refused: there is nothing of that name.
    """
    if ":" in name:
        one = _attribute(*name.split(":", 1))
        return {"count": 1, "bytes": Sizes().of(one), "objects": [_described(Sizes().of(one), one)]}
    largest: list[Any] = []
    sizes, count, total = Sizes(), 0, 0
    for step in Objects(_SEEN_LIMIT_BYTES).steps():
        kinds = dict(zip(map(id, map(type, step)), map(type, step)))
        named = {number for number, kind in kinds.items() if is_named(kind, name)}
        if not named:
            continue
        # The others, mostly all, cost no bytecode.
        fitting = list(itertools.compress(step, map(named.__contains__, map(id, map(type, step)))))
        taken = sizes.each(fitting)
        largest += zip(map(_operator.neg, taken), range(count, count + len(taken)), fitting)
        count, total = count + len(taken), total + sum(taken)
        if len(largest) > most:
            largest = sorted(largest, key=_first_two)[:most]
        fitting.clear()
    if not count:
        raise Refused("no live object is of a type " + name)
    objects = [_described(-size, one) for size, _, one in sorted(largest, key=_first_two)]
    return {"count": count, "bytes": total, "objects": objects}


def _first_two(row: Any) -> Any:
    return row[:2]


def _described(size: int, one: Any) -> dict[str, Any]:
    frames = _frames(one)
    module, name = names_of(type(one))
    return {
        "type": module + "." + name,
        "bytes": size,
        "is_traced": frames is not None,
        "frames": [[str(file), line] for file, line in (frames or ())[:_MOST_FRAMES]],
    }


def _frames(one: Any) -> Any:
    """Return the frames of an object's allocation, the most recent first, None where it was not traced."""
    frames = _tracemalloc._get_object_traceback(one)
    if frames is None and sys.version_info[:2] == (3, 11) and _FLAGS.__get__(type(one)) & _MANAGED_DICT:
        return _frames_of_block(id(one) - _HEAD_BYTES)
    return frames


def _frames_of_block(address: int) -> Any:
    """Return the frames by address: the function of 3.11 overlooks what lies in front of objects with attributes."""
    try:
        import _ctypes  # noqa: PLC0415 - not every interpreter has it
    except ImportError:
        return None
    dlopen: Any = _ctypes.dlopen
    number: Any = type("number", (_ctypes._SimpleCData,), {"_type_": "L"})
    found: Any = type("found", (_ctypes._SimpleCData,), {"_type_": "O"})
    flags = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_PYTHONAPI
    members = {"_flags_": flags, "_restype_": found, "_argtypes_": (number, number)}
    prototype: Any = type("traceback", (_ctypes.CFuncPtr,), members)
    frames = prototype(_ctypes.dlsym(dlopen(None, 0), "_PyTraceMalloc_GetTraceback"))(0, address)
    return getattr(frames, "value", frames)


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
