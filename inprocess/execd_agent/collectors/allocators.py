"""tracemalloc switched off without its own stop, where that one can end the program (gh-128679).

Before 3.12.9 and 3.13.2 `stop` frees the buffer that a thread writes to which came into a hook without the GIL (zlib,
bz2 and lzma allocate so) and waits for it there. Here the hooks come off, the flag goes down, and the buffer stays,
some hundred bytes: whoever is late finds it. The next start makes a new one.
"""

from __future__ import annotations

import sys

from execd_agent.collectors import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DOMAINS = (0, 1, 2)
# PyMemAllocatorEx: ctx, malloc, calloc, realloc, free (cpython/pymem.h).
_WORDS = 5
# 3.12 and 3.13: three ints and their padding, in front of the saved allocators (pycore_tracemalloc.h).
_CONFIG_BYTES = 16
_INITIALIZED = 1


def stop_is_safe() -> bool:
    """Tell whether tracemalloc's own stop leaves threads alone that are in its hooks."""
    version = tuple(sys.version_info[:3])
    return (3, 12, 9) <= version < (3, 13) or version >= (3, 13, 2)


class Allocators:
    """The allocators of the three domains as they are before tracemalloc starts. Raises Refused without `_ctypes`."""

    def __init__(self) -> None:
        try:
            import _ctypes  # noqa: PLC0415 - not every interpreter has it
        except ImportError:
            version = "%d.%d.%d" % tuple(sys.version_info[:3])
            raise Refused(
                "tracemalloc of " + version + " cannot be stopped safely without the module _ctypes"
            ) from None
        self._ctypes = _ctypes
        dlopen: Any = _ctypes.dlopen
        self._library = dlopen(None, 0)
        self._pointer: Any = type("pointer", (_ctypes._SimpleCData,), {"_type_": "P"})
        self._int: Any = type("int", (_ctypes._SimpleCData,), {"_type_": "i"})
        self._words: Any = type("words", (_ctypes.Array,), {"_type_": self._pointer, "_length_": _WORDS})
        self._ints: Any = type("ints", (_ctypes.Array,), {"_type_": self._int, "_length_": 3})
        self._get = self._function("PyMem_GetAllocator")
        self._set = self._function("PyMem_SetAllocator")
        self._before = [self._current(domain) for domain in _DOMAINS]
        self._hooks: list[Any] = []
        self._config: Any = None

    def find(self, frames: int) -> bool:
        """Look at what tracemalloc has set; called once it has started, with its limit of frames.

        Returns False where its own data are not found where they should be.
        """
        self._hooks = [self._current(domain) for domain in _DOMAINS]
        self._config = self._ints.from_address(self._config_address())
        return list(self._config) == [_INITIALIZED, 1, frames]

    def take_off(self) -> None:
        """Take the hooks off and the flag down. Another tool's hook that lies above stays, and calls ours."""
        for domain, hook, before in zip(_DOMAINS, self._hooks, self._before):
            if list(self._current(domain)) != list(hook):
                continue
            if not before[0]:
                # First the functions alone, which take no notice of ctx: a thread without the GIL that reads one word
                # before and one after must not come into a hook with none.
                self._install(domain, self._words(hook[0], *before[1:]))
            self._install(domain, before)
        self._config[1] = 0

    def with_flag(self, action: Any) -> None:
        """Do what tracemalloc does only while the flag is up."""
        self._config[1] = 1
        try:
            action()
        finally:
            self._config[1] = 0

    def _config_address(self) -> int:
        if sys.version_info < (3, 12):
            return int(self._ctypes.dlsym(self._library, "_Py_tracemalloc_config"))
        return int(min(hook[0] for hook in self._hooks) - _CONFIG_BYTES)

    def _current(self, domain: int) -> Any:
        words = self._words()
        self._get(domain, self._ctypes.addressof(words))
        return words

    def _install(self, domain: int, words: Any) -> None:
        self._set(domain, self._ctypes.addressof(words))

    def _function(self, name: str) -> Any:
        flags = self._ctypes.FUNCFLAG_CDECL | self._ctypes.FUNCFLAG_PYTHONAPI
        members = {"_flags_": flags, "_restype_": None, "_argtypes_": (self._int, self._pointer)}
        prototype = type(name, (self._ctypes.CFuncPtr,), members)
        return prototype(self._ctypes.dlsym(self._library, name))
