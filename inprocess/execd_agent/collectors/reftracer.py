"""The interpreter's one place for a function that is told of every object made.

tracemalloc takes it at its start, whoever has it, and that of 3.13 does not give it back at its stop. Newer ones do;
`_ctypes` is not loaded there, which with a new libffi keeps a descriptor open for ever.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class RefTracer:
    """What is in the place before tracemalloc starts, and goes there again when it has stopped."""

    def __init__(self) -> None:
        self._get: Any = None
        self._set: Any = None
        self._data: Any = None
        self._address = 0
        self._ours = 0
        self._before: tuple[int, int] = (0, 0)
        if sys.version_info[:2] != (3, 13):
            return
        try:
            import _ctypes  # noqa: PLC0415 - not every interpreter has it
        except ImportError:
            return
        pointer: Any = type("pointer", (_ctypes._SimpleCData,), {"_type_": "P"})
        dlopen: Any = _ctypes.dlopen
        library = dlopen(None, 0)
        flags = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_PYTHONAPI

        def function(name: str, result: Any, *arguments: Any) -> Any:
            members = {"_flags_": flags, "_restype_": result, "_argtypes_": arguments}
            prototype: Any = type(name, (_ctypes.CFuncPtr,), members)
            return prototype(_ctypes.dlsym(library, name))

        self._get = function("PyRefTracer_GetTracer", pointer, pointer)
        self._set = function("PyRefTracer_SetTracer", None, pointer, pointer)
        self._data = pointer()
        self._address = _ctypes.addressof(self._data)
        self._before = self._current()

    def started(self) -> bool:
        """Look at what tracemalloc has put there, and tell whether it took the place from another tool.

        It may have been its own already: of an earlier start of the program's.
        """
        self._ours = self._current()[0]
        return self._before[0] not in (0, self._ours)

    def stopped(self) -> None:
        """Put back what was there, unless another tool has taken the place since."""
        if self._get is not None and self._current()[0] in (0, self._ours):
            self._set(*self._before)

    def _current(self) -> tuple[int, int]:
        if self._get is None:
            return 0, 0
        function = self._get(self._address) or 0
        return function, self._data.value or 0
