"""Runs in the interrupted thread when an exception came out of launch.py: that of a signal handler of the target.

It belongs to the target, so it is raised there again as soon as we are out of the way. Executed with `frozen` as a
global, inside of an except clause.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    frozen: dict[str, Any]


def hand_back(error: BaseException) -> None:
    """Raise an exception of the target's signal handler again, in the interrupted thread, once we are out of it."""
    thread = frozen["_thread"]
    # SetAsyncExc takes a class: this one turns into the exception when it is instantiated.
    carrier = type("carrier", (type(error),), {"__new__": lambda _: error, "__init__": lambda _: None})
    try:
        ctypes = frozen["__builtins__"]["__import__"]("_ctypes")
    except ImportError:
        # Without it only the commonest of them can be raised from here.
        thread.interrupt_main()
        return
    pointer = type("pointer", (ctypes._SimpleCData,), {"_type_": "L"})
    instance = type("instance", (ctypes._SimpleCData,), {"_type_": "O"})
    flags = {"_flags_": ctypes.FUNCFLAG_CDECL | ctypes.FUNCFLAG_PYTHONAPI, "_restype_": pointer}
    prototype = type("prototype", (ctypes.CFuncPtr,), {**flags, "_argtypes_": (pointer, instance)})
    prototype(ctypes.dlsym(ctypes.dlopen(None, 0), "PyThreadState_SetAsyncExc"))(thread.get_ident(), carrier)


hand_back(frozen["sys"].exc_info()[1])
