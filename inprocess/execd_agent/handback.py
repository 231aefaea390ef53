"""Runs in the interrupted thread when an exception came out of launch.py: that of a signal handler of the target.

It belongs to the target, so it is raised there again once the thread is out of the injected text: within it the
interpreter would print it and drop it. A thread of our own waits for that instant. Executed with `frozen` as a global,
inside of an except clause.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    frozen: dict[str, Any]


def hand_back(error: BaseException) -> None:
    """Raise an exception of the target's signal handler again, in the interrupted thread, once we are out of it."""
    thread, sys = frozen["_thread"], frozen["sys"]
    # This function, this file, the lambda that executes it (execd.attach.text), the text.
    text = sys._getframe(3)
    monkey = sys.modules.get("gevent.monkey")
    saved = getattr(monkey, "saved", {}).get("_thread", {}) if monkey else {}
    start = saved.get("start_new_thread") or thread.start_new_thread
    start(raise_outside, (error, thread.get_ident(), text))


def raise_outside(error: BaseException, ident: int, text: Any) -> None:
    """Wait in a thread of our own until the interrupted one has left the text's frame, then raise there."""
    sys = frozen["sys"]
    while True:
        frame = sys._current_frames().get(ident)
        while frame is not None and frame is not text:
            frame = frame.f_back
        if frame is None:
            break
    # SetAsyncExc takes a class: this one turns into the exception when it is instantiated.
    members = {"__new__": lambda *_: error, "__init__": lambda *_: None}
    carrier = type("carrier", (type(error),), members)
    try:
        ctypes = frozen["__builtins__"]["__import__"]("_ctypes")
    except ImportError:
        # Without it only the commonest of them can be raised from here.
        frozen["_thread"].interrupt_main()
        return
    pointer = type("pointer", (ctypes._SimpleCData,), {"_type_": "L"})
    instance = type("instance", (ctypes._SimpleCData,), {"_type_": "O"})
    flags = {"_flags_": ctypes.FUNCFLAG_CDECL | ctypes.FUNCFLAG_PYTHONAPI, "_restype_": pointer}
    prototype = type("prototype", (ctypes.CFuncPtr,), {**flags, "_argtypes_": (pointer, instance)})
    prototype(ctypes.dlsym(ctypes.dlopen(None, 0), "PyThreadState_SetAsyncExc"))(ident, carrier)


hand_back(frozen["sys"].exc_info()[1])
